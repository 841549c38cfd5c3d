//! What is said about a line of a roster: a code, the values of its sentence, and the sentence in
//! English. Codes and the names of the values are stable; the dashboard has a sentence for each code.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::Place;

macro_rules! remark_codes {
    ($($(#[doc = $doc:literal])+ $code:ident,)+) => {
        /// What a remark is about. The values of its sentence are in `params`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum RemarkCode {
            $($(#[doc = $doc])+ $code,)+
        }

        impl RemarkCode {
            /// Every code, for tables that must cover them all.
            pub const ALL: &[Self] = &[$(Self::$code,)+];
        }
    };
}

remark_codes! {
    /// Enrolled already, and nothing differs.
    AlreadyThere,
    /// Enrolled already, as `name`.
    EnrolledAs,
    /// The same as line `line` of `file`.
    DuplicateOf,
    /// A pattern, and no host of its own.
    PatternOnly,
    /// `field` is `value`; `fix` says what it must be.
    BadValue,
    /// A line that cannot be read; `fix` says what belongs there.
    BadLine,
    /// The file `path` was not given.
    MissingFile,
    /// The key file `path` was not given: it will be logged in with the log-in chosen for all.
    MissingKey,
    /// The key file `path` cannot be used; `reason` says why.
    BadKey,
    /// There is nobody to log in as.
    NoUser,
    /// The jump host `jump` cannot be used; `reason` says why.
    BadJump,
    /// `option` is not understood and has no effect here.
    NotSupported,
    /// The host keys of this name are hashed, and it is none of the hosts known.
    HashedHost,
    /// The pinned host key differs from the one in the file, `fingerprint`; the pinned one stays.
    HostKeyDiffers,
    /// The host key `fingerprint` is revoked.
    HostKeyRevoked,
    /// A host certificate authority, which vouches for `hosts`.
    CertAuthority,
    /// It is not reached over SSH, but by `connection`.
    OtherConnection,
    /// More than `max` hosts: the rest was left out.
    TooMany,
    /// No host was found.
    Nothing,
}

/// Something about a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Remark {
    /// What it is about.
    pub code: RemarkCode,
    /// The sentence in English.
    pub message: String,
    /// The values of the sentence.
    pub params: BTreeMap<String, String>,
    /// Where it stands; null when it is about the whole.
    pub place: Option<Place>,
}

impl Remark {
    fn new(code: RemarkCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            params: BTreeMap::new(),
            place: None,
        }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// The same, about a place.
    #[must_use]
    pub fn at(mut self, place: &Place) -> Self {
        self.place = Some(place.clone());
        self
    }

    /// Whether its host cannot be taken.
    #[must_use]
    pub fn forbids(&self) -> bool {
        use RemarkCode as Code;
        match self.code {
            Code::AlreadyThere
            | Code::EnrolledAs
            | Code::DuplicateOf
            | Code::PatternOnly
            | Code::BadValue
            | Code::BadLine
            | Code::BadKey
            | Code::NoUser
            | Code::BadJump
            | Code::HashedHost
            | Code::HostKeyRevoked
            | Code::OtherConnection => true,
            Code::MissingFile
            | Code::MissingKey
            | Code::NotSupported
            | Code::HostKeyDiffers
            | Code::CertAuthority
            | Code::TooMany
            | Code::Nothing => false,
        }
    }

    pub(super) fn already_there() -> Self {
        Self::new(
            RemarkCode::AlreadyThere,
            "it is enrolled already, and nothing differs",
        )
    }

    pub(super) fn enrolled_as(name: &str) -> Self {
        let message = format!("its address and port are enrolled already, as {name}");
        Self::new(RemarkCode::EnrolledAs, message).with("name", name)
    }

    pub(super) fn duplicate_of(place: &Place) -> Self {
        let message = format!("it is the same as line {} of {}", place.line, place.file);
        Self::new(RemarkCode::DuplicateOf, message)
            .with("line", place.line.to_string())
            .with("file", &place.file)
    }

    pub(super) fn pattern_only() -> Self {
        Self::new(
            RemarkCode::PatternOnly,
            "it is a pattern: it gives values to other hosts and is none itself",
        )
    }

    /// `value` is never a secret.
    pub(super) fn bad_value(field: &str, value: &str, fix: impl Into<String>) -> Self {
        let value = short(value);
        let fix = fix.into();
        Self::new(RemarkCode::BadValue, format!("{field} is \"{value}\": {fix}"))
            .with("field", field)
            .with("value", value)
            .with("fix", fix)
    }

    pub(super) fn bad_line(fix: impl Into<String>) -> Self {
        let fix = fix.into();
        Self::new(RemarkCode::BadLine, format!("it cannot be read: {fix}")).with("fix", fix)
    }

    pub(super) fn missing_file(path: &str) -> Self {
        let path = short(path);
        let message = format!("the file {path} that it includes was not given: give it too");
        Self::new(RemarkCode::MissingFile, message).with("path", path)
    }

    pub(super) fn missing_key(path: &str) -> Self {
        let path = short(path);
        let message = format!(
            "its key {path} was not given: give the file too, or it is logged in to with what is chosen for all"
        );
        Self::new(RemarkCode::MissingKey, message).with("path", path)
    }

    pub(super) fn bad_key(path: &str, reason: &str) -> Self {
        let message = format!("its key {} cannot be used: {reason}", short(path));
        Self::new(RemarkCode::BadKey, message)
            .with("path", short(path))
            .with("reason", reason)
    }

    pub(super) fn no_user() -> Self {
        Self::new(
            RemarkCode::NoUser,
            "there is nobody to log in as: choose a log-in name for all, or state one",
        )
    }

    pub(super) fn bad_jump(jump: &str, reason: &str) -> Self {
        let message = format!("its jump host {} cannot be used: {reason}", short(jump));
        Self::new(RemarkCode::BadJump, message)
            .with("jump", short(jump))
            .with("reason", reason)
    }

    pub(super) fn not_supported(option: &str) -> Self {
        let message = format!("{} has no effect here", short(option));
        Self::new(RemarkCode::NotSupported, message).with("option", short(option))
    }

    pub(super) fn hashed_host() -> Self {
        Self::new(
            RemarkCode::HashedHost,
            "its name is hashed, and it is none of the hosts that are known here",
        )
    }

    pub(super) fn host_key_differs(fingerprint: &str) -> Self {
        let message = format!(
            "its pinned host key is another one than {fingerprint} of the file: the pinned one stays; accept another on the server's page"
        );
        Self::new(RemarkCode::HostKeyDiffers, message).with("fingerprint", fingerprint)
    }

    pub(super) fn host_key_revoked(fingerprint: &str) -> Self {
        let message = format!("its host key {fingerprint} is revoked");
        Self::new(RemarkCode::HostKeyRevoked, message).with("fingerprint", fingerprint)
    }

    pub(super) fn cert_authority(hosts: &str) -> Self {
        let message = format!(
            "it is a certificate authority for {}: enter it with the host authorities, not here",
            short(hosts)
        );
        Self::new(RemarkCode::CertAuthority, message).with("hosts", short(hosts))
    }

    pub(super) fn other_connection(connection: &str) -> Self {
        let message = format!("it is not reached over SSH, but by {}", short(connection));
        Self::new(RemarkCode::OtherConnection, message).with("connection", short(connection))
    }

    pub(super) fn too_many(max: usize) -> Self {
        let message = format!("there are more than {max} hosts: the rest was left out");
        Self::new(RemarkCode::TooMany, message).with("max", max.to_string())
    }

    pub(super) fn nothing() -> Self {
        Self::new(RemarkCode::Nothing, "no host was found in it")
    }
}

/// A value as a sentence may hold it: one line, not too long.
pub(super) fn short(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(80)
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect();
    if text.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}
