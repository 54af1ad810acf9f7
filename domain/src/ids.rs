//! Names that are checked once, at the edge, and trusted from then on.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names a task in the catalogue, e.g. `daily-gifts`. Events carry it, so it never changes and is
/// never given to another task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// The longest task id, in bytes.
    pub const LEN_BYTES_MAX: usize = 64;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for TaskId {
    type Error = InvalidTaskId;

    fn try_from(got: String) -> Result<Self, Self::Error> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        let valid = (1..=Self::LEN_BYTES_MAX).contains(&got.len()) && got.bytes().all(allowed);
        if valid { Ok(Self(got.into())) } else { Err(InvalidTaskId { got }) }
    }
}

impl std::str::FromStr for TaskId {
    type Err = InvalidTaskId;

    fn from_str(got: &str) -> Result<Self, Self::Err> {
        got.to_owned().try_into()
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is not a valid [`TaskId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task id is 1 to {} of a-z, 0-9, '.', '_' and '-', got {got:?}", TaskId::LEN_BYTES_MAX)]
pub struct InvalidTaskId {
    got: String,
}

/// Names a user: the `subject` of an action. 1 to 256 bytes of UTF-8 without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct UserId(Arc<str>);

impl UserId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidName;

    fn try_from(got: String) -> Result<Self, Self::Error> {
        check_name("user", &got)?;
        Ok(Self(got.into()))
    }
}

impl std::str::FromStr for UserId {
    type Err = InvalidName;

    fn from_str(got: &str) -> Result<Self, Self::Err> {
        got.to_owned().try_into()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that can't name a user, a source, an action or an action type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is 1 to {max} bytes of text without control characters, got {len} bytes", max = NAME_BYTES_MAX)]
pub struct InvalidName {
    what: &'static str,
    len: usize,
}

/// The longest user id, source, action id or action type, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// Checks the rules that user ids, sources, action ids and action types share.
pub fn check_name(what: &'static str, got: &str) -> Result<(), InvalidName> {
    let valid = (1..=NAME_BYTES_MAX).contains(&got.len()) && !got.chars().any(char::is_control);
    if valid { Ok(()) } else { Err(InvalidName { what, len: got.len() }) }
}
