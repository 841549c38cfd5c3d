//! What can be wrong with a field of a request: one table of codes, each with the values of its
//! sentence and the sentence in English. Codes and the names of the values are stable; the
//! dashboard has a sentence for every code of [`FieldCode::ALL`] in each of its languages.
//!
//! A sentence follows the name of its field: "name: is required".

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::dto::system::FieldError;

macro_rules! field_codes {
    ($($(#[doc = $doc:literal])+ $code:ident,)+) => {
        /// What is wrong with a field. The values of its sentence are in `params`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum FieldCode {
            $($(#[doc = $doc])+ $code,)+
        }

        impl FieldCode {
            /// Every code, for tables that must cover them all.
            pub const ALL: &[Self] = &[$(Self::$code,)+];
        }
    };
}

field_codes! {
    /// It is missing.
    Required,
    /// It is missing, and so is `other`, which could stand in for it.
    RequiredUnless,
    /// It is missing, but `other` was given.
    RequiredWith,
    /// It is null; it may be left out, but not be null.
    Null,
    /// It is an empty text or list.
    Empty,
    /// A text of `length` characters; `min` to `max` are allowed.
    Length,
    /// A text of `length` bytes; at most `max` are allowed.
    TooManyBytes,
    /// A list of `count` entries; at most `max` are allowed.
    TooManyEntries,
    /// An entry of the list is not a text of `min` to `max` characters in one line.
    EntryLength,
    /// An entry of the list is not a whole number.
    EntryNumber,
    /// It holds a line break, a tab or another control character.
    ControlCharacter,
    /// It holds white space.
    WhiteSpace,
    /// It is `actual` (`null`, `boolean`, `number`, `text`, `list`, `object`) instead of `expected`.
    WrongType,
    /// It is `value`; it must be a whole number, from `min` to `max` where these are given.
    WholeNumber,
    /// It must be a number from `min` to `max`.
    Number,
    /// It is `value`, which is none of `allowed`.
    NotAllowed,
    /// It is `value`, which is no time in RFC 3339.
    Time,
    /// It is a time in the past.
    InThePast,
    /// It is not before the field `other`.
    NotBefore,
    /// It is below the field `other`, which is `min`.
    BelowOther,
    /// It cannot be given together with `other`.
    NotTogether,
    /// It is given twice.
    Twice,
    /// There is no such field here; `known` are the ones there are.
    Unknown,
    /// Another one has this name already.
    Taken,
    /// It is neither an IP address nor a host name.
    Host,
    /// It is no readable host key; `reason` says why.
    HostKey,
    /// It is no readable private key, or the passphrase does not open it; `reason` says why.
    PrivateKey,
    /// It is no readable user certificate, or not of this key; `reason` says why.
    Certificate,
    /// It is no fingerprint as `ssh-keygen -l` prints it.
    Fingerprint,
    /// It is no line of `known_hosts`, or no list of host patterns; `reason` says why.
    KnownHosts,
    /// There is no enrolled server with this id.
    NoSuchServer,
    /// There is no shared credential with this id.
    NoSuchCredential,
    /// It leads in a circle, or through more than `max` jump hosts; `reason` says more, if known.
    JumpHost,
    /// The entry `name` is reached through `jump`, which is not selected.
    JumpNotSelected,
    /// The hub's own machine is read directly and in no other way.
    LocalServer,
    /// It is a log-in name with something else than letters (a to z), digits and `. _ - @`.
    Username,
    /// It is not the caller's password.
    WrongPassword,
    /// It is no position in a list, as a `Link` header gave it; `reason` says why.
    Cursor,
    /// It names a metric that does not exist; `reason` says which.
    Metric,
    /// Something else; `reason` is the English sentence.
    Invalid,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fault {
    code: FieldCode,
    params: BTreeMap<String, Value>,
    message: String,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::because(FieldCode::Invalid, message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl Fault {
    fn new(code: FieldCode, message: impl Into<String>) -> Self {
        Self {
            code,
            params: BTreeMap::new(),
            message: message.into(),
        }
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.params.insert(name.to_owned(), value.into());
        self
    }

    /// A fault of which only an English sentence is known.
    pub(super) fn because(code: FieldCode, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::new(code, reason.clone()).with("reason", reason)
    }

    /// The fault of this field. `value` is what was sent, never a secret.
    pub(super) fn of(self, field: &str, value: Option<Value>) -> FieldError {
        FieldError {
            field: field.to_owned(),
            value,
            code: self.code,
            message: self.message,
            params: self.params,
        }
    }

    pub(super) fn required() -> Self {
        Self::new(FieldCode::Required, "is required")
    }

    pub(super) fn required_unless(other: &str, condition: &str) -> Self {
        Self::new(
            FieldCode::RequiredUnless,
            format!("is required, unless {condition}"),
        )
        .with("other", other)
    }

    pub(super) fn required_with(other: &str) -> Self {
        Self::new(
            FieldCode::RequiredWith,
            format!("is required together with {other}"),
        )
        .with("other", other)
    }

    pub(super) fn null() -> Self {
        Self::new(FieldCode::Null, "must not be null: give a value, or leave it out")
    }

    pub(super) fn empty(message: &str) -> Self {
        Self::new(FieldCode::Empty, message)
    }

    pub(super) fn length(length: usize, allowed: &RangeInclusive<usize>) -> Self {
        let (min, max) = (*allowed.start(), *allowed.end());
        Self::new(
            FieldCode::Length,
            format!("has {length} characters; it must have {min} to {max}"),
        )
        .with("length", length)
        .with("min", min)
        .with("max", max)
    }

    pub(super) fn too_many_bytes(length: usize, max: usize) -> Self {
        Self::new(
            FieldCode::TooManyBytes,
            format!("has {length} bytes; at most {max} are allowed"),
        )
        .with("length", length)
        .with("max", max)
    }

    pub(super) fn too_many_entries(count: usize, max: usize) -> Self {
        Self::new(
            FieldCode::TooManyEntries,
            format!("has {count} entries; at most {max} are allowed"),
        )
        .with("count", count)
        .with("max", max)
    }

    pub(super) fn entry_length(allowed: &RangeInclusive<usize>) -> Self {
        let (min, max) = (*allowed.start(), *allowed.end());
        Self::new(
            FieldCode::EntryLength,
            format!("each entry must be a text of {min} to {max} characters in one line"),
        )
        .with("min", min)
        .with("max", max)
    }

    pub(super) fn entry_number() -> Self {
        Self::new(FieldCode::EntryNumber, "each entry must be a whole number")
    }

    pub(super) fn control_character() -> Self {
        Self::new(
            FieldCode::ControlCharacter,
            "holds a control character (a line break, tab or the like)",
        )
    }

    pub(super) fn white_space() -> Self {
        Self::new(FieldCode::WhiteSpace, "must not hold white space")
    }

    /// `expected` is a word of [`kind`], or `true or false`.
    pub(super) fn wrong_type(actual: &Value, expected: &str) -> Self {
        let (actual, article) = kind(actual);
        let must = match expected {
            "boolean" => "true or false".to_owned(),
            expected => format!("a {expected}"),
        };
        Self::new(FieldCode::WrongType, format!("is {article}; it must be {must}"))
            .with("actual", actual)
            .with("expected", expected)
    }

    /// `shown` is what was sent, as it may be shown.
    pub(super) fn whole_number<T>(shown: &str, range: &RangeInclusive<T>) -> Self
    where
        T: Display,
    {
        let (min, max) = (range.start().to_string(), range.end().to_string());
        let number = |text: &str| text.parse::<i64>().map_or(Value::Null, Value::from);
        Self::new(
            FieldCode::WholeNumber,
            format!("is {shown}; it must be a whole number from {min} to {max}"),
        )
        .with("value", shown)
        .with("min", number(&min))
        .with("max", number(&max))
    }

    /// A number of any size, in a path.
    pub(super) fn no_id(shown: &str) -> Self {
        Self::new(
            FieldCode::WholeNumber,
            format!("is \"{shown}\"; it must be a whole number"),
        )
        .with("value", shown)
    }

    pub(super) fn number(range: &RangeInclusive<f64>) -> Self {
        let (min, max) = (*range.start(), *range.end());
        Self::new(FieldCode::Number, format!("must be a number from {min} to {max}"))
            .with("min", min)
            .with("max", max)
    }

    pub(super) fn not_allowed(value: &str, allowed: &str) -> Self {
        Self::new(
            FieldCode::NotAllowed,
            format!("is \"{value}\"; it must be one of: {allowed}"),
        )
        .with("value", value)
        .with("allowed", allowed)
    }

    pub(super) fn time(value: &str) -> Self {
        Self::new(
            FieldCode::Time,
            format!("is \"{value}\"; it must be a time in RFC 3339, like 2026-11-22T08:00:00Z"),
        )
        .with("value", value)
    }

    pub(super) fn in_the_past() -> Self {
        Self::new(FieldCode::InThePast, "is in the past")
    }

    pub(super) fn not_before(other: &str) -> Self {
        Self::new(FieldCode::NotBefore, format!("must be before {other}")).with("other", other)
    }

    pub(super) fn below_other(other: &str, min: u8) -> Self {
        Self::new(
            FieldCode::BelowOther,
            format!("is below {other} ({min}); it must be at least that"),
        )
        .with("other", other)
        .with("min", min)
    }

    pub(super) fn not_together(other: &str, message: &str) -> Self {
        Self::new(FieldCode::NotTogether, message).with("other", other)
    }

    pub(super) fn twice() -> Self {
        Self::new(FieldCode::Twice, "is given twice")
    }

    /// `known` are the names of the fields there are, with commas.
    pub(super) fn unknown(known: &str) -> Self {
        let message = if known.is_empty() {
            "is not known here; nothing may be given".to_owned()
        } else {
            format!("is not known here; known are: {known}")
        };
        Self::new(FieldCode::Unknown, message).with("known", known)
    }

    pub(super) fn taken() -> Self {
        Self::new(FieldCode::Taken, "is already taken: choose another")
    }

    pub(super) fn host() -> Self {
        Self::new(
            FieldCode::Host,
            "must be an IPv4 address (192.0.2.10), an IPv6 address (2001:db8::10) or a host name (web-1.example.org)",
        )
    }

    pub(super) fn no_such_credential() -> Self {
        Self::new(
            FieldCode::NoSuchCredential,
            "is no shared credential: see GET /api/credentials",
        )
    }

    pub(super) fn fingerprint() -> Self {
        Self::new(
            FieldCode::Fingerprint,
            "must be a fingerprint as ssh-add -l prints it: SHA256: and 43 characters",
        )
    }

    pub(super) fn no_such_server() -> Self {
        Self::new(FieldCode::NoSuchServer, "is no enrolled server")
    }

    pub(super) fn jump_circle(max: usize) -> Self {
        Self::new(
            FieldCode::JumpHost,
            format!("leads in a circle, or through more than {max} jump hosts"),
        )
        .with("max", max)
    }

    pub(super) fn jump_not_selected(name: &str, jump: &str) -> Self {
        Self::new(
            FieldCode::JumpNotSelected,
            format!("hold {name}, but not {jump}, which it is reached through: select both or neither"),
        )
        .with("name", name)
        .with("jump", jump)
    }

    pub(super) fn local_server() -> Self {
        Self::new(
            FieldCode::LocalServer,
            "must stay local: this is the hub's own machine; enrol it a second time to read it over SSH",
        )
    }

    pub(super) fn wrong_password() -> Self {
        Self::new(FieldCode::WrongPassword, "is wrong")
    }
}

/// The word for a kind of JSON value in `params`, and in a sentence.
pub(super) fn kind(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", "null"),
        Value::Bool(_) => ("boolean", "a boolean"),
        Value::Number(_) => ("number", "a number"),
        Value::String(_) => ("text", "a text"),
        Value::Array(_) => ("list", "a list"),
        Value::Object(_) => ("object", "an object"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_carries_its_code_its_values_and_a_sentence() {
        let fault = Fault::length(0, &(1..=100)).of("name", Some(json!("")));
        assert_eq!(
            serde_json::to_value(fault).unwrap(),
            json!({
                "field": "name", "value": "", "code": "length",
                "message": "has 0 characters; it must have 1 to 100",
                "params": {"length": 0, "min": 1, "max": 100},
            })
        );
        let fault = Fault::whole_number("a text", &(1..=65535u16)).of("ssh_port", None);
        assert_eq!(fault.params["max"], 65535);
        assert_eq!(
            serde_json::to_value(Fault::from("is odd").of("x", None)).unwrap(),
            json!({"field": "x", "code": "invalid", "message": "is odd", "params": {"reason": "is odd"}})
        );
    }

    #[test]
    fn every_code_is_listed_once_with_a_name_of_its_own() {
        let mut names: Vec<String> = FieldCode::ALL
            .iter()
            .map(|code| serde_json::to_string(code).unwrap())
            .collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), FieldCode::ALL.len());
        assert!(names.contains(&"\"too_many_bytes\"".to_owned()));
    }
}
