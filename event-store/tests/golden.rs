//! Every version of every event that was ever stored can be read: one file each, never changed.

use std::path::Path;

use plaudit_domain::user_tasks::Event;
use plaudit_event_store::upcasters;
use serde_json::Value;

/// The name under which an event is stored. A new variant stops the build here: add its file.
fn name(event: &Event) -> &'static str {
    match event {
        Event::UserUpdated { .. } => "user_updated",
        Event::ProgressRecorded { .. } => "progress_recorded",
        Event::StreakAdvanced { .. } => "streak_advanced",
        Event::StreakBroken { .. } => "streak_broken",
        Event::MilestoneReached { .. } => "milestone_reached",
        Event::TaskCompleted { .. } => "task_completed",
        Event::RewardsClaimed { .. } => "rewards_claimed",
        Event::DeliveryStarted { .. } => "delivery_started",
        Event::ActionTooLate { .. } => "action_too_late",
        Event::ActionNotCounted { .. } => "action_not_counted",
    }
}

/// How many variants [`name`] has.
const VARIANTS: usize = 10;

#[test]
fn every_version_of_every_event_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut newest = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let (event_type, version) = stem.split_once('.').unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let stored: Value = serde_json::from_str(&text).unwrap();
        let event = upcasters::read(event_type, version, &text).unwrap();
        assert_eq!(name(&event), event.schema().0, "the stored name is the schema's");
        assert_eq!(event.schema().0, event_type);
        if event.schema().1 == version {
            assert_eq!(
                serde_json::to_value(&event).unwrap(),
                stored,
                "{stem} is written as it is read"
            );
            newest.insert(name(&event));
        }
    }
    assert_eq!(newest.len(), VARIANTS, "each event has a file of its newest version: {newest:?}");
}

#[test]
fn an_event_of_a_later_program_is_refused_with_its_name() {
    let refused = upcasters::read("progress_recorded", "9.0", r#"{"type": "delivery_begun"}"#);
    assert!(refused.unwrap_err().to_string().contains("progress_recorded in version 9.0"));
    assert!(upcasters::read("task_doubled", "1.0", r#"{"type": "task_doubled"}"#).is_err());
}
