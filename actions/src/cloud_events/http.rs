//! CloudEvents attributes in HTTP headers.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Prefix of attribute names among the headers of a request in binary mode.
pub const PREFIX: &str = "ce-";

/// The reason why a header's value is not a valid attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaderValue {
    /// The bytes are not UTF-8, before or after percent-decoding.
    #[error("not UTF-8")]
    NotUtf8,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("`%` must be followed by two hexadecimal digits; a percent sign itself is `%25`")]
    Percent,
    /// A double quote is not closed.
    #[error("a double-quoted text does not end with a double quote")]
    Quote,
}

/// Decodes a header's value: removes double quotes, then percent-encoding.
///
/// # Source
///
/// CloudEvents HTTP protocol binding 1.0.2, section 3.1.3.2; the quoted string of RFC 7230, section
/// 3.2.6; RFC 3986, section 2.4.
pub fn decode(value: &[u8]) -> Result<String, InvalidHeaderValue> {
    let text = std::str::from_utf8(value).map_err(|_| InvalidHeaderValue::NotUtf8)?;
    let text = unquoted(text.trim_matches([' ', '\t']))?;
    let bytes = text.as_bytes();
    let is_hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
    let is_encoded = |(at, _): (usize, &str)| is_hex(at + 1) && is_hex(at + 2);
    if !text.match_indices('%').all(is_encoded) {
        return Err(InvalidHeaderValue::Percent);
    }
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.map(Cow::into_owned).map_err(|_| InvalidHeaderValue::NotUtf8)
}

/// Removes the double quotes around quoted parts, and the backslashes that escape characters in
/// them.
fn unquoted(text: &str) -> Result<Cow<'_, str>, InvalidHeaderValue> {
    if !text.contains('"') {
        return Ok(Cow::Borrowed(text));
    }
    let (mut plain, mut is_quoted) = (String::with_capacity(text.len()), false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => plain.push(characters.next().ok_or(InvalidHeaderValue::Quote)?),
            other => plain.push(other),
        }
    }
    if is_quoted { Err(InvalidHeaderValue::Quote) } else { Ok(Cow::Owned(plain)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_unquoted_and_then_percent_decoded_once() {
        for (sent, meant) in [
            ("u42", "u42"),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            ("%E9%A6%96", "首"),
            ("首", "首"),
            ("\"quo ted\"", "quo ted"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            ("\"%22\"", "\""),
            ("50%2525", "50%25"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            (r#""100%25""#, "100%"),
            ("back\\slash", "back\\slash"),
            ("a \"b c\" d", "a b c d"),
            (" padded ", "padded"),
            ("a+b", "a+b"),
            ("\"\"", ""),
        ] {
            assert_eq!(decode(sent.as_bytes()).as_deref(), Ok(meant), "{sent}");
        }
    }

    #[test]
    fn what_can_not_be_decoded_is_refused() {
        for (sent, why) in [
            (&b"100%"[..], InvalidHeaderValue::Percent),
            (b"%4", InvalidHeaderValue::Percent),
            (b"%zz", InvalidHeaderValue::Percent),
            (b"%+1", InvalidHeaderValue::Percent),
            (b"%C0%A0", InvalidHeaderValue::NotUtf8),
            (b"%FF", InvalidHeaderValue::NotUtf8),
            (b"\xff", InvalidHeaderValue::NotUtf8),
            (b"\"open", InvalidHeaderValue::Quote),
            (b"a\"b", InvalidHeaderValue::Quote),
            (b"\"a\\", InvalidHeaderValue::Quote),
        ] {
            assert_eq!(decode(sent), Err(why), "{}", String::from_utf8_lossy(sent));
        }
    }
}
