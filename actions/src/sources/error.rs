//! Faults of source files.

use std::fmt;
use std::path::{Path, PathBuf};

/// A fault of a source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The path within the file, such as `sources[0].action.user`; `file` for the whole file.
    pub path: String,
    /// The fault and its correction, in one line.
    pub message: String,
}

/// The longest message, in characters. Messages may quote the file.
const MESSAGE_CHARS_MAX: usize = 500;

impl SourceError {
    pub(super) fn new(
        file: &Path,
        (line, column): (usize, usize),
        path: &str,
        message: impl fmt::Display,
    ) -> Self {
        let path = if path.is_empty() { "file" } else { path }.to_owned();
        let message = super::one_line(&message.to_string(), MESSAGE_CHARS_MAX);
        Self { file: file.to_owned(), line, column, path, message }
    }

    pub(super) fn of_file(
        file: &Path,
        line: usize,
        column: usize,
        message: impl fmt::Display,
    ) -> Self {
        Self::new(file, (line, column), "", message)
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, path, message } = self;
        write!(f, "{}:{line}:{column}: {path}: {message}", file.display())
    }
}

impl std::error::Error for SourceError {}
