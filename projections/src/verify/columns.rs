//! Rows as named texts, which show the differences.

use std::fmt::{Debug, Write as _};

use jiff::Timestamp;

use plaudit_event_store::rewards::RewardRow;
use plaudit_event_store::states::{TaskRow, UserRow, ValueChunk};

/// A row of some table.
pub(super) trait Columns {
    /// The key of the row among those of its user.
    type Key: Ord + Clone + Debug;

    fn key(&self) -> Self::Key;

    /// Name and text of each column.
    fn columns(&self) -> Vec<(&'static str, String)>;
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

impl Columns for TaskRow {
    type Key = String;

    fn key(&self) -> String {
        self.task.to_string()
    }

    fn columns(&self) -> Vec<(&'static str, String)> {
        let period = self.period.as_ref();
        let at = |at: Option<Option<Timestamp>>| shown(at.flatten());
        vec![
            ("task_id", self.task.to_string()),
            ("completed_at", shown(self.completed_at)),
            ("watermark", shown(self.watermark)),
            ("closed_key", shown(self.closed.as_ref().map(|closed| &closed.key))),
            ("closed_ends_at", shown(self.closed.as_ref().map(|closed| closed.ends_at))),
            ("unclaimed_count", self.unclaimed_count.to_string()),
            ("version", shown(period.map(|p| p.version))),
            ("period_key", shown(period.map(|p| &p.key))),
            ("starts_at", at(period.map(|p| p.starts_at))),
            ("ends_at", at(period.map(|p| p.ends_at))),
            ("closes_at", at(period.map(|p| p.closes_at))),
            ("progress", shown(period.map(|p| p.progress))),
            ("completed", shown(period.map(|p| p.completed))),
            ("details", shown(self.details.as_ref())),
        ]
    }
}

impl Columns for ValueChunk {
    type Key = (String, String, i16);

    fn key(&self) -> Self::Key {
        (self.task.to_string(), self.period.to_string(), self.chunk)
    }

    fn columns(&self) -> Vec<(&'static str, String)> {
        let hashes = self.hashes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        // The first column names the row.
        let key = format!("{} period_key={} chunk={}", self.task, self.period, self.chunk);
        vec![("task_id", key), ("hashes", hashes)]
    }
}

impl Columns for RewardRow {
    type Key = (i64, i32);

    fn key(&self) -> (i64, i32) {
        (self.place.position, self.place.ordinal)
    }

    fn columns(&self) -> Vec<(&'static str, String)> {
        let reward = &self.reward;
        vec![
            ("grant_id", reward.grant.to_string()),
            ("granted_position", self.place.position.to_string()),
            ("ordinal", self.place.ordinal.to_string()),
            ("task_id", reward.task.to_string()),
            ("period_key", reward.period.to_string()),
            ("milestone", reward.milestone.to_string()),
            ("line", reward.line.clone()),
            ("kind", reward.kind.clone()),
            ("code", reward.code.clone()),
            ("amount", reward.amount.to_string()),
            ("state", self.state.as_str().to_owned()),
            ("granted_at", reward.reached_at.to_string()),
            ("version", reward.version.to_string()),
            ("period_starts_at", shown(self.starts_at)),
            ("period_ends_at", shown(self.ends_at)),
            ("claimed_at", shown(self.claimed.map(|claimed| claimed.at))),
            ("claimed_position", shown(self.claimed.map(|claimed| claimed.position))),
            ("claim_until", shown(self.claim_until)),
            ("lapses_at", shown(self.lapse.map(|lapse| lapse.at))),
            ("lapses_as", shown(self.lapse.map(|lapse| lapse.becomes.as_str()))),
        ]
    }
}

impl Columns for UserRow {
    type Key = ();

    fn key(&self) {}

    fn columns(&self) -> Vec<(&'static str, String)> {
        vec![
            ("zones", self.zones.clone()),
            ("attributes", shown(self.attributes.as_ref())),
            ("updated_at", shown(self.updated_at)),
            ("counted", self.counted.to_string()),
        ]
    }
}

/// Formats two versions of a row: the first column, which names it, and the columns that differ. If
/// one version is missing, all columns of the other.
pub(super) fn both<R: Columns>(
    live: Option<&R>,
    log: Option<&R>,
) -> (Option<String>, Option<String>) {
    let (live, log) = (live.map(R::columns), log.map(R::columns));
    let text = |columns: &[(&'static str, String)], other: Option<&[(&'static str, String)]>| {
        let mut text = String::new();
        for (index, column) in columns.iter().enumerate() {
            if index == 0 || other.is_none_or(|other| other[index] != *column) {
                let space = if text.is_empty() { "" } else { " " };
                let _ = write!(text, "{space}{}={}", column.0, column.1);
            }
        }
        text
    };
    let live_text = live.as_deref().map(|live| text(live, log.as_deref()));
    let log_text = log.as_deref().map(|log| text(log, live.as_deref()));
    (live_text, log_text)
}
