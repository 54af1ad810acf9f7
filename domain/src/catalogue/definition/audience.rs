//! The audience of a task: the users who have it.

use serde::{Deserialize, Serialize};

/// The conditions for having a task. Both must hold; without any, everybody has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// A CEL expression over `user`; absent: all users.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The part of the users that is drawn by their hash; absent: all users.
    #[serde(default, rename = "share_of_10000", skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
    /// Text that is hashed together with the user; absent: the task's id. Tasks with the same salt
    /// draw the same users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
}

impl Audience {
    /// True if no user is left out.
    pub fn is_everybody(&self) -> bool {
        self.filter.is_none() && self.share.is_none()
    }
}

/// A part of the users, in hundredths of a percent: 0 to 10,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Share(u32);

impl Share {
    /// The share that contains everybody.
    pub const WHOLE: u32 = 10_000;

    /// True if the hash falls into the share.
    pub fn contains(self, hash: u32) -> bool {
        hash % Self::WHOLE < self.0
    }
}

impl TryFrom<u32> for Share {
    type Error = InvalidShare;

    fn try_from(got: u32) -> Result<Self, Self::Error> {
        if got <= Self::WHOLE { Ok(Self(got)) } else { Err(InvalidShare { got }) }
    }
}

impl From<Share> for u32 {
    fn from(Share(share): Share) -> Self {
        share
    }
}

/// A number that is not a valid [`Share`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a share is 0 to {} hundredths of a percent, got {got}", Share::WHOLE)]
pub struct InvalidShare {
    got: u32,
}
