//! The list of what plaudit did wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most findings of a kind that are shown in full.
const SHOWN_MAX: usize = 5;

/// The things that plaudit did wrong, by kind.
#[derive(Debug, Default)]
pub struct Findings(Mutex<BTreeMap<&'static str, Kind>>);

#[derive(Debug, Default)]
struct Kind {
    count: u64,
    first: Vec<String>,
}

impl Findings {
    /// Adds a finding.
    pub fn add(&self, kind: &'static str, what: impl Into<String>) {
        let mut kinds = self.lock();
        let kind = kinds.entry(kind).or_default();
        kind.count += 1;
        if kind.first.len() < SHOWN_MAX {
            kind.first.push(what.into());
        }
    }

    /// Returns true if there are no findings.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, kind) in self.lock().iter() {
            writeln!(f, "{} × {name}; the first:", kind.count)?;
            for what in &kind.first {
                writeln!(f, "  - {what}")?;
            }
        }
        Ok(())
    }
}
