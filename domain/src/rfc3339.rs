//! Instants as RFC 3339 writes them: the one reader behind the times of actions and the timestamps
//! of expressions.
//!
//! # Source
//!
//! RFC 3339, section 5.6; lower-case `t` and `z` are allowed there. Leap seconds are refused.

use jiff::civil::DateTime;

/// An instant as written: a date and time, and the offset of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    /// The date and time on the clock. Digits beyond nanoseconds are cut.
    pub local: DateTime,
    /// The offset of the clock, in seconds east of UTC.
    pub offset_seconds: i32,
}

/// Reads an instant; `None` if it is not RFC 3339, or not a date and time.
pub(crate) fn read(text: &str) -> Option<Written> {
    let bytes = text.as_bytes();
    let pattern = b"dddd-dd-ddTdd:dd:dd";
    let fits = |got: u8, want: u8| match want {
        b'd' => got.is_ascii_digit(),
        _ => got.eq_ignore_ascii_case(&want),
    };
    let has_form =
        bytes.len() >= 20 && bytes.iter().zip(pattern).all(|(got, want)| fits(*got, *want));
    if !has_form || !text.is_ascii() {
        return None;
    }
    let part = |from: usize| text[from..from + 2].parse::<i8>().ok();
    let (year, month, day) = (text[..4].parse().ok()?, part(5)?, part(8)?);
    let (hour, minute, second) = (part(11)?, part(14)?, part(17)?);
    let mut rest = &text[19..];
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        nanos = nanos_of(&fraction[..digits])?;
        rest = &fraction[digits..];
    }
    let local = DateTime::new(year, month, day, hour, minute, second, nanos).ok()?;
    Some(Written { local, offset_seconds: offset(rest)? })
}

/// Reads the digits after a decimal point as nanoseconds; `None` without digits.
fn nanos_of(digits: &str) -> Option<i32> {
    let kept = &digits[..digits.len().min(9)];
    let places = u32::try_from(kept.len()).ok()?;
    Some(kept.parse::<i32>().ok()? * 10_i32.pow(9 - places))
}

/// Reads `Z`, `+01:00` or `-00:30` as seconds east of UTC.
fn offset(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    match text.split_at_checked(1)? {
        ("+", clock) => hours_and_minutes(clock),
        ("-", clock) => Some(-hours_and_minutes(clock)?),
        _ => None,
    }
}

/// Reads `01:00` as seconds, up to `23:59`.
pub(crate) fn hours_and_minutes(clock: &str) -> Option<i32> {
    let [h1, h2, b':', m1, m2] = *clock.as_bytes() else { return None };
    let number = |tens: u8, ones: u8| match (tens, ones) {
        (b'0'..=b'9', b'0'..=b'9') => Some(i32::from(tens - b'0') * 10 + i32::from(ones - b'0')),
        _ => None,
    };
    let (hours, minutes) = (number(h1, h2)?, number(m1, m2)?);
    (hours < 24 && minutes < 60).then_some((hours * 60 + minutes) * 60)
}
