//! Every version of every event ever stored stays readable: one file each, never changed.

use std::path::Path;

use plaudit_domain::user_tasks::Event;
use plaudit_event_store::upcasters;
use serde_json::Value;
use uuid::Uuid;

/// The stored name of an event. A new variant breaks the build here: add its file.
fn name(event: &Event) -> &'static str {
    match event {
        Event::UserUpdated { .. } => "user_updated",
        Event::ProgressRecorded { .. } => "progress_recorded",
        Event::StreakAdvanced { .. } => "streak_advanced",
        Event::StreakProtected { .. } => "streak_protected",
        Event::StreakBroken { .. } => "streak_broken",
        Event::PeriodMadeUp { .. } => "period_made_up",
        Event::FreezesGranted { .. } => "freezes_granted",
        Event::FreezeReserved { .. } => "freeze_reserved",
        Event::MilestoneReached { .. } => "milestone_reached",
        Event::TaskCompleted { .. } => "task_completed",
        Event::RewardsClaimed { .. } => "rewards_claimed",
        Event::RewardsExpired(_) => "rewards_expired",
        Event::RewardsForfeited(_) => "rewards_forfeited",
        Event::RewardsGranted(_) => "rewards_granted",
        Event::ProgressCorrected { .. } => "progress_corrected",
        Event::ActionReversed { .. } => "action_reversed",
        Event::CreditKept { .. } => "credit_kept",
        Event::RewardGranted { .. } => "reward_granted",
        Event::RewardsRevoked { .. } => "rewards_revoked",
        Event::DeliveryStarted { .. } => "delivery_started",
        Event::RewardDelivered { .. } => "reward_delivered",
        Event::RewardFailed { .. } => "reward_failed",
        Event::AcknowledgementIgnored { .. } => "acknowledgement_ignored",
        Event::RedeliveryRequested { .. } => "redelivery_requested",
        Event::ActionTooLate { .. } => "action_too_late",
        Event::ActionNotCounted { .. } => "action_not_counted",
        Event::BackfillReleased { .. } => "backfill_released",
        Event::ParkedReleased { .. } => "parked_released",
        Event::ParkedDiscarded { .. } => "parked_discarded",
    }
}

/// The number of variants in [`name`].
const VARIANTS: usize = 29;

/// The content of each file, as the name-based UUID (RFC 9562, version 5) of its bytes. Databases
/// hold events of this form, so a changed file no longer proves that they can be read. A new
/// version is a new file and a new line.
const PINNED: &[(&str, &str)] = &[
    ("acknowledgement_ignored.1.0", "dea2e7f1-d923-591d-bba9-225764343a55"),
    ("action_not_counted.1.0", "efc432cd-5baa-5ae2-ba3c-de444927baed"),
    ("action_reversed.1.0", "5b9a6b99-16bd-5ace-9643-4dae02c13920"),
    ("action_too_late.1.0", "c35521de-51d5-5328-8b42-a4f8f2027421"),
    ("backfill_released.1.0", "e99e1e31-1e05-5a36-adc5-c1aa09aa8f10"),
    ("credit_kept.1.0", "671c3b39-0a06-5620-90d0-a9defa7ad06e"),
    ("delivery_started.1.0", "4659967c-eb42-52e6-b249-4d08327cd4ce"),
    ("freeze_reserved.1.0", "cb38c446-4c0f-5295-b5b8-9af20083b3d3"),
    ("freezes_granted.1.0", "a3633f03-c12d-5b86-8d14-0580aa2912e5"),
    ("milestone_reached.1.0", "1ebac68d-5f02-5ad7-9ee0-3ee38334150a"),
    ("parked_discarded.1.0", "517a0ef7-1546-58e8-b3f9-723d734ee2fc"),
    ("parked_released.1.0", "7d9fc233-595e-50a5-b002-527a2054750e"),
    ("period_made_up.1.0", "89c34380-a85a-5fe8-9941-12faa7f0b980"),
    ("progress_corrected.1.0", "dbbdf80e-c46c-57e7-bf54-5610496059c5"),
    ("progress_recorded.1.0", "dce94476-5805-59cf-a9ec-964d1cb1e23c"),
    ("redelivery_requested.1.0", "8114fe92-c1d3-537f-8586-87e6da402fe4"),
    ("reward_delivered.1.0", "949e979c-bc84-515d-92dd-4c225dd68214"),
    ("reward_failed.1.0", "b4374219-3ee5-5783-8465-f73c68994b5d"),
    ("reward_granted.1.0", "2c1406b0-8ba7-5503-8654-02bfbe62dced"),
    ("rewards_claimed.1.0", "98f8ab36-ff0b-5d1e-a2d1-2a7d2dc90c31"),
    ("rewards_expired.1.0", "5344c25d-50df-5f28-b770-fc8d3c233358"),
    ("rewards_forfeited.1.0", "6166bd38-de63-5b48-b16d-55fcc4ab0ac2"),
    ("rewards_granted.1.0", "9ea02a4a-6baf-5c03-ab26-979e59f29104"),
    ("rewards_revoked.1.0", "b1162994-fd08-531d-9e7b-90b2430528bb"),
    ("streak_advanced.1.0", "64c2ea67-a98a-5d57-a082-6ed551ff229b"),
    ("streak_broken.1.0", "aacd0d37-9603-5101-99e7-b4ccc4d1f0fb"),
    ("streak_protected.1.0", "2b60ed20-ef23-5018-a2f5-a6129a5fcf17"),
    ("task_completed.1.0", "cb73de99-8a33-543c-92aa-974c95a83a9b"),
    ("user_updated.1.0", "5c57e162-fe94-5064-8476-f798d6e4fdcd"),
];

#[test]
fn no_golden_file_was_changed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let held = Uuid::new_v5(&Uuid::nil(), &std::fs::read(&path).unwrap());
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), held.to_string())
        })
        .collect();
    found.sort();
    let pinned: Vec<(String, String)> =
        PINNED.iter().map(|(name, held)| ((*name).to_owned(), (*held).to_owned())).collect();
    assert_eq!(found, pinned);
}

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
