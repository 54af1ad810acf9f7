//! The shapes of bodies for operators; see `shapes`.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::shapes::Instant;

shapes! {
    /// Read models.
    Projections {
        /// All of them.
        projections: Vec<Projection>,
    }
    /// A read model.
    Projection {
        /// Its name.
        name: String,
        /// The version before the last rebuild is still kept.
        old_kept: bool,
        /// The rebuild that is under way, or the last one.
        rebuild: Option<Rebuild>,
    }
    /// How far a rebuild is.
    Rebuild {
        /// Of which projection.
        projection: String,
        /// `running`, `paused`, `cancelled`, `swapped` or `failed`.
        state: String,
        /// What it is at.
        phase: String,
        /// Users folded.
        users: u64,
        /// Events folded.
        events: u64,
        /// Of about how many.
        events_total: u64,
        /// How fast.
        events_per_second: Option<f64>,
        /// How long it will still take at that rate.
        remaining_seconds: Option<u64>,
        /// When it was started.
        started_at: Instant,
        /// When it was swapped.
        finished_at: Option<Instant>,
        /// How many rows were other than the log has it.
        differences: Option<u64>,
        /// Why it failed.
        error: Option<String>,
    }
    /// Parked records.
    ParkedList {
        /// Oldest first.
        parked: Vec<Parked>,
        /// For the next page.
        next: Option<Uuid>,
    }
    /// Why an operator does something.
    Reason {
        /// 1 to 1,000 characters.
        #[schema(required = false)]
        reason: Option<String>,
    }
    /// What became of a parked record, and of what waited behind it.
    Resolved {
        /// The record.
        id: Uuid,
        /// `released` or `discarded`.
        resolution: String,
        /// How many actions were applied, with those that waited behind it.
        applied: u64,
        /// How many had been applied before.
        duplicates: u64,
        /// How many records that waited behind it were released with it.
        followed: u64,
        /// A position at or after the effect; null if it lies in several lanes.
        position: Option<String>,
        /// The record at which releasing stopped: it and those behind it are still parked.
        stopped: Option<Stopped>,
    }
    /// A record that is still parked.
    Stopped {
        /// Its id.
        id: Uuid,
        /// Why.
        reason: String,
    }
    /// A parked record or action.
    Parked {
        /// Its id.
        id: Uuid,
        /// Why.
        reason: String,
        /// Whether someone can mend the cause.
        repairable: bool,
        /// The user, where one is known.
        user: Option<String>,
        /// Where it came from; absent for requests.
        topic: Option<String>,
        /// See `topic`.
        partition: Option<i32>,
        /// See `topic`.
        offset: Option<i64>,
        /// Headers of the record, or of the request.
        #[schema(value_type = Object)]
        headers: Value,
        /// Base64.
        bytes: String,
        /// The time when it was parked.
        at: Instant,
    }
}
