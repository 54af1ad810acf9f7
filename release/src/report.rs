//! The result of a release or discard, as shown over HTTP and on the command line.

use serde::Serialize;
use uuid::Uuid;

use crate::resolve::{Released, Stopped};

/// The result of a release or discard, for display.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseReport {
    /// The record.
    pub id: Uuid,
    /// `released` or `discarded`.
    pub resolution: &'static str,
    /// See [`Released::applied`].
    pub applied: usize,
    /// See [`Released::duplicates`].
    pub duplicates: usize,
    /// See [`Released::followed`].
    pub followed: usize,
    /// See [`Released::position`].
    pub position: Option<String>,
    /// See [`Released::stopped`].
    pub stopped: Option<Stopped>,
}

impl ReleaseReport {
    /// Reports a release.
    pub fn released(released: Released) -> Self {
        Self::new("released", released)
    }

    /// Reports a discard.
    pub fn discarded(released: Released) -> Self {
        Self::new("discarded", released)
    }

    fn new(resolution: &'static str, released: Released) -> Self {
        let Released { id, applied, duplicates, followed, stopped, position } = released;
        let position = position.map(|position| position.to_string());
        Self { id, resolution, applied, duplicates, followed, position, stopped }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_names_the_record_at_which_the_release_stopped() {
        let (id, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let stopped = Some(Stopped { id: other, reason: "no such user".to_owned() });
        let released =
            Released { id, applied: 3, duplicates: 1, followed: 2, stopped, position: None };
        let expected = json!({"id": id, "resolution": "discarded", "applied": 3, "duplicates": 1,
            "followed": 2, "position": null, "stopped": {"id": other, "reason": "no such user"}});
        let report = ReleaseReport::discarded(released);
        assert_eq!(serde_json::to_value(report).unwrap(), expected);
    }
}
