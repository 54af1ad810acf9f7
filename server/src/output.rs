//! The output of commands. If its reader is gone (`plaudit audit history u1 | head -1`), commands
//! must not panic, as `println!` does; a full disk must not look like success.

use std::fmt::Arguments;
use std::io::Write as _;
use std::sync::OnceLock;

use serde::Serialize;

use crate::failure::Failure;

/// The first error of standard output; nothing is written after it.
static ENDED: OnceLock<std::io::Error> = OnceLock::new();

/// Prints a line of the result on standard output.
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}

/// Prints a line about the command itself on standard error.
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::remark(format_args!($($text)*)) };
}

pub(crate) use {errln, outln};

/// See [`outln`].
pub fn line(text: Arguments<'_>) {
    if !has_ended()
        && let Err(error) = writeln!(std::io::stdout().lock(), "{text}")
    {
        let _ = ENDED.set(error); // the first one says why
    }
}

/// See [`errln`]. Errors are ignored: there is nowhere to report them.
pub fn remark(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// True if standard output has failed, so that commands can stop early.
pub fn has_ended() -> bool {
    ENDED.get().is_some()
}

/// Fails if not everything could be printed. A reader that has gone is not an error.
pub fn finish() -> Result<(), Failure> {
    match ENDED.get().filter(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
        Some(error) => Err(Failure::new(format!("can't write to standard output: {error}"))),
        None => Ok(()),
    }
}

/// The JSON string of a value, such as a variant's name, without quotes.
pub fn word(value: &impl Serialize) -> String {
    let word = serde_json::to_value(value).ok();
    word.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// A number of things: `1 error`, `2 errors`.
pub fn count(number: impl TryInto<u64>, thing: &str) -> String {
    match number.try_into() {
        Ok(1) => format!("1 {thing}"),
        Ok(number) => format!("{number} {thing}s"),
        Err(_) => format!("many {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(
            [count(0_u8, "error"), count(1_u8, "error"), count(2_usize, "error")],
            ["0 errors", "1 error", "2 errors"]
        );
    }
}
