//! The total size of the patterns of many expressions.

use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::Pattern;
use super::{Expression, Filter};

/// The most ranges of characters that the patterns of a catalogue may have together; the same limit
/// holds for the patterns of all source files. Equal patterns count once. Some 12 address patterns
/// such as `\p{L}{1,64}` have so many, or 700 of `\p{L}+`, or tens of thousands of `[a-z0-9]+`.
/// They take up to 80 MB, and a second to compile.
pub const PATTERN_RANGES_MAX: usize = 500_000;

/// Counts the ranges of characters of patterns. Equal patterns count once. The total holds the
/// patterns, so that equal ones are not compiled again.
#[derive(Debug, Clone, Default)]
pub struct PatternTotal {
    counted: HashMap<String, Arc<Pattern>>,
    ranges: usize,
}

impl PatternTotal {
    /// Adds the patterns of an expression.
    ///
    /// # Errors
    ///
    /// [`TooManyRanges`] if there are then more than [`PATTERN_RANGES_MAX`].
    pub fn add(&mut self, expression: &Expression) -> Result<(), TooManyRanges> {
        for pattern in &expression.patterns {
            if !self.counted.contains_key(pattern.source()) {
                self.counted.insert(pattern.source().to_owned(), Arc::clone(pattern));
                self.ranges = self.ranges.saturating_add(pattern.ranges());
            }
        }
        self.check()
    }

    /// Adds the patterns of a `where`.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    pub fn add_filter(&mut self, filter: &Filter) -> Result<(), TooManyRanges> {
        self.add(filter.expression())
    }

    /// The ranges so far.
    pub fn ranges(&self) -> usize {
        self.ranges
    }

    /// Checks that the ranges so far are not too many.
    ///
    /// # Errors
    ///
    /// [`TooManyRanges`] if there are more than [`PATTERN_RANGES_MAX`].
    pub fn check(&self) -> Result<(), TooManyRanges> {
        if self.ranges > PATTERN_RANGES_MAX {
            return Err(TooManyRanges { ranges: self.ranges });
        }
        Ok(())
    }
}

/// Patterns that are too large together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the patterns of `matches` have {ranges} ranges of characters together, and {PATTERN_RANGES_MAX} are allowed: \
     use one pattern in several places, where it counts once, `[a-z]` instead of `\\p{{L}}`, and `+` with size() \
     instead of counted repetitions"
)]
pub struct TooManyRanges {
    /// The total number of ranges.
    pub ranges: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(pattern: &str) -> Filter {
        Filter::compile(&format!("data.s.matches('{pattern}')")).unwrap()
    }

    #[test]
    fn equal_patterns_count_once() {
        let mut total = PatternTotal::default();
        assert_eq!(total.add_filter(&matching("^[a-c]x$")), Ok(()));
        let one = total.ranges();
        assert!(one > 0);
        assert_eq!(total.add_filter(&matching("^[a-c]x$")), Ok(()));
        assert_eq!(total.ranges(), one);
        assert_eq!(total.add_filter(&matching("^[a-d]x$")), Ok(()));
        assert_eq!(total.ranges(), 2 * one);
    }

    #[test]
    fn more_than_the_maximum_is_refused() {
        let mut total = PatternTotal::default();
        let large = (0..13).map(|n| matching(&format!("^\\\\p{{L}}{{1,60}}{n}$")));
        let refused = large.map(|filter| total.add_filter(&filter)).find_map(Result::err).unwrap();
        assert!(refused.ranges > PATTERN_RANGES_MAX);
        assert!(refused.to_string().contains("500000 are allowed"), "{refused}");
    }
}
