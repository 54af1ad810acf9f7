//! The patterns of `matches`: compiled once, at a cost that is known beforehand.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use regex::Regex;
use regex_syntax::hir::{Class, Hir, HirKind};

/// The most ranges of characters that the patterns of one expression may have, with repetitions
/// written out. `\p{L}` has about 650, so `\p{L}{1,64}` has 42,000 and takes some 10 ms to compile.
pub(super) const RANGES_MAX: usize = 100_000;

/// The most places in a pattern that a search may occupy at once. Each byte of the text is compared
/// with each of them.
pub(super) const PLACES_MAX: usize = 500;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    places: usize,
    ranges: usize,
}

impl Pattern {
    /// Returns the compiled pattern, which may have at most `ranges_max` ranges. Equal patterns are
    /// compiled once in a process, because many tasks, and all versions of a task, may have the
    /// same.
    ///
    /// # Errors
    ///
    /// The reason why the pattern can't be used, and what to write instead.
    pub fn shared(pattern: &str, ranges_max: usize) -> Result<Arc<Self>, String> {
        let known = IN_USE.lock().unwrap_or_else(PoisonError::into_inner).get(pattern);
        if let Some(known) = known.filter(|known| known.ranges <= ranges_max) {
            return Ok(known);
        }
        // Compiled without the lock: a large pattern takes long, and others need not wait for it.
        let compiled = Arc::new(Self::compile(pattern, ranges_max)?);
        IN_USE.lock().unwrap_or_else(PoisonError::into_inner).add(pattern, &compiled);
        Ok(compiled)
    }

    fn compile(pattern: &str, ranges_max: usize) -> Result<Self, String> {
        let invalid = |why: String| {
            let why =
                why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            format!("the pattern {pattern:?} is not valid: {why}")
        };
        let hir = regex_syntax::Parser::new().parse(pattern).map_err(|e| invalid(e.to_string()))?;
        let Extent { places, ranges } = extent(&hir);
        if places > PLACES_MAX || ranges > ranges_max {
            return Err(format!(
                "the pattern {pattern:?} is too large: write `+` or `*` for a counted repetition such \
                 as {{1,64}}, and bound the length with size(), as in `size(data.s) <= 64 && \
                 data.s.matches('^[a-z]+$')`"
            ));
        }
        let mut builder = regex::RegexBuilder::new(pattern);
        builder.size_limit(PROGRAM_BYTES_MAX).dfa_size_limit(CACHE_BYTES_MAX);
        let regex = builder.build().map_err(|e| invalid(e.to_string()))?;
        Ok(Self { regex, places, ranges })
    }

    /// The number of ranges of characters.
    pub fn ranges(&self) -> usize {
        self.ranges
    }

    /// The pattern as written.
    pub fn source(&self) -> &str {
        self.regex.as_str()
    }

    /// The worst cost of searching a text of this length, in steps.
    ///
    /// # Source
    ///
    /// The documentation of `regex`, "Untrusted inputs": a search takes a time that is proportional to
    /// the length of the text times the size of the pattern.
    pub fn steps(&self, text_bytes: usize) -> usize {
        1 + text_bytes.saturating_mul(self.places.max(1)) / PLACES_PER_STEP
    }

    pub fn is_in(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The patterns that some expression uses, by their text.
static IN_USE: Mutex<InUse> = Mutex::new(InUse(None));

/// `None` until the first pattern is added.
struct InUse(Option<HashMap<String, Weak<Pattern>>>);

impl InUse {
    fn get(&self, pattern: &str) -> Option<Arc<Pattern>> {
        self.0.as_ref()?.get(pattern)?.upgrade()
    }

    /// Adds a pattern. Whenever the map would have to grow, forgets those that nobody uses any
    /// more.
    fn add(&mut self, pattern: &str, compiled: &Arc<Pattern>) {
        let known = self.0.get_or_insert_default();
        if known.len() == known.capacity() {
            known.retain(|_, pattern| pattern.strong_count() > 0);
        }
        known.insert(pattern.to_owned(), Arc::downgrade(compiled));
    }
}

/// Limit on a compiled pattern. No pattern within the limits above reaches it.
const PROGRAM_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Limit on the states that a search may cache.
const CACHE_BYTES_MAX: usize = 1024 * 1024;
/// The places that are looked at in the time of one step.
const PLACES_PER_STEP: usize = 3;

/// The size of a pattern, with repetitions written out.
#[derive(Clone, Copy, Default)]
struct Extent {
    places: usize,
    ranges: usize,
}

impl Extent {
    fn of(places: usize, ranges: usize) -> Self {
        Self { places, ranges }
    }

    fn and(self, other: Self) -> Self {
        Self {
            places: self.places.saturating_add(other.places),
            ranges: self.ranges.saturating_add(other.ranges),
        }
    }

    fn times(self, count: usize) -> Self {
        Self {
            places: self.places.saturating_mul(count),
            ranges: self.ranges.saturating_mul(count),
        }
    }
}

fn extent(hir: &Hir) -> Extent {
    match hir.kind() {
        HirKind::Empty => Extent::default(),
        HirKind::Look(_) => Extent::of(1, 1),
        HirKind::Literal(literal) => Extent::of(literal.0.len(), literal.0.len()),
        HirKind::Class(Class::Unicode(class)) => Extent::of(1, class.ranges().len()),
        HirKind::Class(Class::Bytes(class)) => Extent::of(1, class.ranges().len()),
        HirKind::Capture(capture) => extent(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(extent).fold(Extent::default(), Extent::and)
        }
        HirKind::Repetition(repetition) => {
            // Without an upper bound, the last copy repeats itself.
            let count = repetition.max.unwrap_or(repetition.min).max(1);
            extent(&repetition.sub).times(count as usize).and(Extent::of(1, 1))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_patterns_are_compiled_once() {
        let first = Pattern::shared("^[a-f]{3}$", RANGES_MAX).unwrap();
        let second = Pattern::shared("^[a-f]{3}$", RANGES_MAX).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let other = Pattern::shared("^[a-f]{4}$", RANGES_MAX).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(Pattern::shared("^[a-f]{3}$", 2).is_err(), "the limit of an expression holds");
    }

    #[test]
    fn patterns_that_nobody_uses_are_forgotten() {
        let mut in_use = InUse(None);
        for n in 0..1_000 {
            in_use.add(&n.to_string(), &Arc::new(Pattern::compile("a", RANGES_MAX).unwrap()));
        }
        assert!(in_use.0.unwrap().len() < 100);
    }
}
