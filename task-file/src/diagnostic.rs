//! Errors and warnings of a task file, with their positions.

use std::fmt;

/// One reason why a task file is refused, or one thing in it that is legal but questionable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Such as `tasks[2].objective.on`; `file` if the message is about the file as a whole.
    pub path: String,
    /// The fault and its remedy, in one line.
    pub message: String,
}

impl Diagnostic {
    /// The longest message, in characters. Some messages quote the file.
    const MESSAGE_CHARS_MAX: usize = 500;

    pub(crate) fn new(line: usize, column: usize, path: &str, message: impl fmt::Display) -> Self {
        let mut message = message.to_string();
        if let Some((end, _)) = message.char_indices().nth(Self::MESSAGE_CHARS_MAX) {
            message.truncate(end);
            message.push('…');
        }
        let message = message.replace(char::is_control, " ");
        let path = if path.is_empty() { "file" } else { path }.to_owned();
        Self { line, column, path, message }
    }

    /// An error of the file as a whole, or of a text that is not valid YAML.
    pub(crate) fn of_file(line: usize, column: usize, message: impl fmt::Display) -> Self {
        Self::new(line, column, "", message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.line, self.column, self.path, self.message)
    }
}
