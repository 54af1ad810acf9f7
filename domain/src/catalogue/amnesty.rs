//! Amnesties: an operator declares that no streak breaks over a span of time, such as an outage.

use jiff::Timestamp;

use super::definition::Pause;

/// The most amnesties that a catalogue holds. Missed periods are walked one amnesty at a time.
pub const AMNESTIES_MAX: usize = 1_000;

/// An amnesty as it applies to one task. Like a pause of the task it protects missed periods;
/// unlike a pause it holds for every version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amnesty {
    /// The span of time. A missed period that it touches breaks no streak.
    pub span: Pause,
    /// The time of the declaration. Earlier decisions stand.
    pub declared_at: Timestamp,
}
