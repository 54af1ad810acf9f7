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

    /// Returns true if this pattern surely matches whatever the other one matches. The other
    /// pattern's `*` is matched as a character, which only a `*` here can match.
    pub fn covers(&self, other: &Self) -> bool {
        self.fits(&other.kind, &other.code)
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
    use super::{GrantPattern, fits};

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

    #[test]
    fn a_pattern_covers_what_is_no_wider() {
        let pattern =
            |kind: &str, code: &str| GrantPattern { kind: kind.to_owned(), code: code.to_owned() };
        let everything = GrantPattern::default();
        for narrow in [pattern("item", "badge-*"), pattern("*", "*"), pattern("*", "coin")] {
            assert!(everything.covers(&narrow), "{narrow:?}");
        }
        assert!(pattern("item", "b*").covers(&pattern("item", "badge-*")));
        assert!(pattern("item", "*").covers(&pattern("item", "*")));
        for wide in [everything, pattern("item", "b*"), pattern("*", "badge-*")] {
            assert!(!pattern("item", "badge-*").covers(&wide), "{wide:?}");
        }
    }
}
