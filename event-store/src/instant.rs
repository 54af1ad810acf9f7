//! Instants on their way to and from PostgreSQL, which keeps microseconds.

use chrono::{DateTime, Utc};
use jiff::Timestamp;

/// As sqlx binds it. An instant beyond what PostgreSQL has does not occur: actions end in 9999.
pub fn to_sql(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.as_microsecond()).unwrap_or_default()
}

/// As the rules have it.
pub fn from_sql(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_microsecond(at.timestamp_micros()).unwrap_or_default()
}
