//! The current time, for requests and for the effects of time.

use jiff::Timestamp;

use crate::states::truncate_to_micros;

/// The source of the current time. All parts of a process share the one of its executor.
///
/// Tokens and time limits use the system clock regardless of this.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still, so that decisions do not depend on the time of the run.
    Fixed(Timestamp),
}

impl Clock {
    /// Returns the current time, truncated to microseconds like every time in the log.
    pub fn now(self) -> Timestamp {
        truncate_to_micros(match self {
            Self::System => Timestamp::now(),
            Self::Fixed(at) => at,
        })
    }
}
