//! The time now, for whoever serves a request or records what time brings about.

use jiff::Timestamp;

use crate::states::truncate_to_micros;

/// The source of the time now. One is shared by all parts of a process, by way of its executor.
///
/// Tokens and time limits go by the machine's clock whatever this is.
#[derive(Debug, Clone, Copy, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still, so that what is decided does not depend on when it is.
    Fixed(Timestamp),
}

impl Clock {
    /// The time now, to the microsecond like every time in the log.
    pub fn now(self) -> Timestamp {
        truncate_to_micros(match self {
            Self::System => Timestamp::now(),
            Self::Fixed(at) => at,
        })
    }
}
