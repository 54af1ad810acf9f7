//! Computes the digests of a chain.

use std::fmt;

use plaudit_event_store::raw_log::RawRow;
use sha2::{Digest as _, Sha256};

/// The SHA-256 digest of a user's events, from the first up to a given one. The default, 32 zero
/// bytes, stands before the first event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Reads a stored digest; `None` if it does not have 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes that are stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the digest extended by the next event. It covers every field of the row. The length
    /// of each text is hashed before the text, so two different rows never hash the same input.
    #[must_use]
    pub fn with(self, row: &RawRow) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for number in [row.sequence, row.position, row.recorded_at_us] {
            hash.update(number.to_be_bytes());
        }
        for text in [&row.user, &row.event_type, &row.event_version, &row.payload, &row.metadata] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> RawRow {
        RawRow {
            user: "u".to_owned(),
            sequence: 1,
            position: 7,
            event_type: "t".to_owned(),
            event_version: "1.0".to_owned(),
            payload: "{}".to_owned(),
            metadata: "{}".to_owned(),
            recorded_at_us: 5,
        }
    }

    /// Databases and auditors' files hold digests, so the algorithm must never change.
    #[test]
    fn the_digest_of_a_row_never_changes() {
        let digest = Digest::default().with(&row());
        assert_eq!(
            digest.to_string(),
            "5920707cf34c62d6ab651a6f1a3f3a6fc9b1b04aed8a272a9a1a29edf4fc0eae"
        );
        assert_eq!(Digest::from_bytes(digest.as_bytes()), Some(digest));
        assert_eq!(Digest::from_bytes(b"short"), None);
    }

    #[test]
    fn every_part_of_a_row_counts() {
        let whole = Digest::default().with(&row());
        let tampers: [fn(&mut RawRow); 8] = [
            |r| r.user.push('x'),
            |r| r.sequence = 2,
            |r| r.position = 8,
            |r| r.event_type.push('x'),
            |r| r.event_version.push('x'),
            |r| r.payload.push(' '),
            |r| r.metadata.push(' '),
            |r| r.recorded_at_us = 6,
        ];
        for change in tampers {
            let mut changed = row();
            change(&mut changed);
            assert_ne!(Digest::default().with(&changed), whole, "{changed:?}");
        }
        assert_ne!(whole.with(&row()), whole, "what came before counts");
    }
}
