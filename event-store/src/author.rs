//! The author of a change, and the reason for it.

/// The author of a change, and the reason.
#[derive(Debug, Clone)]
pub struct Author {
    /// The `sub` of a token, or a user of the operating system.
    pub by: String,
    /// The reason; absent if none was given.
    pub reason: Option<String>,
}

impl From<&str> for Author {
    fn from(by: &str) -> Self {
        Self { by: by.to_owned(), reason: None }
    }
}
