//! Patterns of grants: by kind and code, with `*` for any characters.

use serde::Deserialize;

/// A pattern of the grants that a channel takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantPattern {
    /// The kind, such as `currency`.
    #[serde(default = "anything")]
    kind: String,
    /// The code, such as `badge-*`.
    #[serde(default = "anything")]
    code: String,
}

fn anything() -> String {
    "*".to_owned()
}

impl Default for GrantPattern {
    fn default() -> Self {
        Self { kind: anything(), code: anything() }
    }
}

impl GrantPattern {
    /// Returns true if such a grant matches.
    pub fn fits(&self, kind: &str, code: &str) -> bool {
        fits(&self.kind, kind) && fits(&self.code, code)
    }
}

/// Matches a text. Backtracks to the last `*` only, so that the time is bounded by the product of
/// both lengths.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "coin"),
            ("coin", "coin"),
            ("badge-*", "badge-"),
            ("*-*d", "a-b-gold"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("coin", "coins"), ("coins", "coin"), ("b*d", "bade"), ("", "x")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}
