//! Who uses the command line: recorded with every change.

/// The user of the operating system, such as `os:ann`.
pub fn name() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|variable| {
        let value = std::env::var(variable).ok()?;
        let fits = (1..=100).contains(&value.len()) && !value.chars().any(char::is_control);
        fits.then_some(value)
    });
    format!("os:{}", named.unwrap_or_else(|| "unknown".to_owned()))
}
