//! Durations of ISO 8601, the exact part: weeks, days, hours, minutes, seconds.

/// Reads a duration such as `PT2H` or `P7D` into seconds. A day is 24 h, a week 7 days; years and
/// months have no fixed length and are refused, as are fractions and signs.
///
/// # Source
///
/// ISO 8601-1:2019, 5.5.2.
///
/// ```
/// # use plaudit_domain::duration::seconds;
/// assert_eq!(seconds("P1DT30M"), Ok(88_200));
/// assert!(seconds("P1M").is_err());
/// ```
pub fn seconds(text: &str) -> Result<i64, InvalidDuration> {
    let invalid = || InvalidDuration { got: text.to_owned() };
    let rest = text.strip_prefix('P').ok_or_else(invalid)?;
    let (days, time) = rest.split_once('T').map_or((rest, None), |(d, t)| (d, Some(t)));
    if (days.is_empty() && time.is_none()) || time == Some("") {
        return Err(invalid());
    }
    let date = sum(days, &[('W', 604_800), ('D', 86_400)]);
    let time = sum(time.unwrap_or(""), &[('H', 3_600), ('M', 60), ('S', 1)]);
    date.zip(time).and_then(|(a, b)| a.checked_add(b)).ok_or_else(invalid)
}

/// Adds up parts like `3H20M`, each unit at most once and in order.
fn sum(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut total = 0i64;
    let mut units = units.iter();
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, rest) = text.split_at(end);
        let unit = rest.chars().next()?;
        let (_, length) = units.by_ref().find(|(name, _)| *name == unit)?;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(*length)?)?;
        text = &rest[unit.len_utf8()..];
    }
    Some(total)
}

/// A text that is not an exact duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a duration looks like PT2H or P7D (weeks, days, hours, minutes, seconds; no years or months), got {got:?}"
)]
pub struct InvalidDuration {
    got: String,
}
