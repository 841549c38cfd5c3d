//! What an OpenSSH certificate says: whose key it certifies, for whom, until when, and by whom.

use serde::{Deserialize, Serialize};

use super::{HostKey, Timestamp};

/// An OpenSSH certificate, read. Who signed it is told, not believed: that is for whoever knows the
/// authorities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Certificate {
    /// What its authority called it, for logs.
    pub key_id: String,
    /// Its number; 0 where its authority numbers none.
    pub serial: u64,
    /// Log-in names, or host names; none: any.
    pub principals: Vec<String>,
    /// From when it is valid; null: always was.
    pub valid_after: Option<Timestamp>,
    /// Until when it is valid; null: for ever.
    pub valid_before: Option<Timestamp>,
    /// The key it certifies.
    pub key: HostKey,
    /// The key of the authority that signed it.
    pub authority: HostKey,
}

/// Whether a certificate is valid at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Valid,
    /// Only from this moment on.
    NotYet(Timestamp),
    /// Not since this moment.
    Expired(Timestamp),
}

impl Certificate {
    /// Whether it is valid at `now`: from `valid_after` on, and before `valid_before`.
    #[must_use]
    pub fn validity(&self, now: Timestamp) -> Validity {
        match (self.valid_after, self.valid_before) {
            (_, Some(end)) if now >= end => Validity::Expired(end),
            (Some(begin), _) if now < begin => Validity::NotYet(begin),
            _ => Validity::Valid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_valid_from_its_first_moment_to_just_before_its_last() {
        let key = HostKey {
            algorithm: "ssh-ed25519".into(),
            fingerprint: "SHA256:a".into(),
            public_key: "ssh-ed25519 A".into(),
        };
        let certificate = |valid_after, valid_before| Certificate {
            key_id: "fleet".into(),
            serial: 0,
            principals: Vec::new(),
            valid_after,
            valid_before,
            key: key.clone(),
            authority: key.clone(),
        };
        let limited = certificate(Some(Timestamp(1_000)), Some(Timestamp(2_000)));
        for (now, expected) in [
            (999, Validity::NotYet(Timestamp(1_000))),
            (1_000, Validity::Valid),
            (1_999, Validity::Valid),
            (2_000, Validity::Expired(Timestamp(2_000))),
        ] {
            assert_eq!(limited.validity(Timestamp(now)), expected, "{now}");
        }
        assert_eq!(
            certificate(None, None).validity(Timestamp(i64::MAX)),
            Validity::Valid
        );
    }
}
