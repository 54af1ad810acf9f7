//! Conversion of instants to and from PostgreSQL, which stores microseconds.

use chrono::{DateTime, Utc};
use jiff::Timestamp;

/// Converts to the type that sqlx binds. Instants outside of PostgreSQL's range do not occur:
/// actions end in 9999.
pub fn to_sql(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.as_microsecond()).unwrap_or_default()
}

/// Converts to the type that the rules use.
pub fn from_sql(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_microsecond(at.timestamp_micros()).unwrap_or_default()
}
