//! Rule 2: a user's zone, and how it changes.

use super::*;

const WEST: &str = "America/New_York"; // in March 2026: UTC-5, from the 8th on UTC-4
const EAST: &str = "Asia/Tokyo"; // UTC+9

fn by_user_zone() -> Catalogue {
    catalogue([daily_with(&[9], json!({ "zone": "user" }))])
}

/// The period of an action under this catalogue.
#[track_caller]
fn period_of(past: &Given<'_>, when: &str) -> Period {
    match &past.when(&gift(when)).outcome.unwrap().events[..] {
        [Event::ProgressRecorded { period, .. }] => period.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rule_01_a_user_without_a_zone_is_in_utc() {
    let catalogue = by_user_zone();
    assert_eq!(period_of(&given(&catalogue, &[]), "20T23:59"), day(20));
}

#[test]
fn rule_02_a_first_zone_applies_at_once_if_nothing_was_counted() {
    let catalogue = by_user_zone();
    let past = given(&catalogue, &[]).after(&[moves_to(EAST, "20T12:00")]);
    let there = period("2026-03-21", Some(at("20T15:00")), Some(at("21T15:00")));
    assert_eq!(period_of(&past, "20T16:00"), there);
    let before = period("2026-03-20", Some(at("19T15:00")), Some(at("20T15:00")));
    assert_eq!(period_of(&past, "20T11:00"), before);
}

#[test]
fn rule_02_a_first_zone_after_something_was_counted_is_a_change_from_utc() {
    let catalogue = by_user_zone();
    let past = given(&catalogue, &[]).after(&[gift("20T10:00"), moves_to(EAST, "20T12:00")]);
    assert_eq!(period_of(&past, "20T23:59"), day(20));
    let next = period("2026-03-21", Some(at("21T00:00")), Some(at("21T15:00")));
    assert_eq!(period_of(&past, "21T00:00"), next);
}

#[test]
fn rule_02_a_move_east_gives_a_short_period_and_repeats_none() {
    let catalogue = by_user_zone();
    let past = given(&catalogue, &[]).after(&[
        moves_to(WEST, "10T00:00"),
        gift("20T10:00"),
        moves_to(EAST, "20T12:00"),
    ]);
    let open = period("2026-03-20", Some(at("20T04:00")), Some(at("21T04:00")));
    assert_eq!(period_of(&past, "21T03:59"), open);
    // In Tokyo 11 hours of the 21st are left.
    let next = period("2026-03-21", Some(at("21T04:00")), Some(at("21T15:00")));
    assert_eq!(period_of(&past, "21T04:00"), next);
    let then = period("2026-03-22", Some(at("21T15:00")), Some(at("22T15:00")));
    assert_eq!(period_of(&past, "21T15:00"), then);
}

#[test]
fn rule_02_a_move_west_gives_a_long_period_and_repeats_none() {
    let catalogue = by_user_zone();
    let past = given(&catalogue, &[]).after(&[
        moves_to(EAST, "10T00:00"),
        gift("20T10:00"),
        moves_to(WEST, "20T12:00"),
    ]);
    let open = period("2026-03-20", Some(at("19T15:00")), Some(at("20T15:00")));
    assert_eq!(period_of(&past, "20T14:59"), open);
    // In New York it is still the 20th, whose period is over; so this period is the 21st until its
    // end there.
    let next = period("2026-03-21", Some(at("20T15:00")), Some(at("22T04:00")));
    assert_eq!(period_of(&past, "20T15:00"), next);
    assert_eq!(period_of(&past, "22T03:59"), next);
}

#[test]
fn rule_02_a_move_across_more_than_a_day_repeats_no_name_either() {
    let catalogue = by_user_zone();
    let past = given(&catalogue, &[]).after(&[
        moves_to("Pacific/Kiritimati", "10T00:00"),
        gift("20T10:00"),
        moves_to("Pacific/Pago_Pago", "20T12:00"),
    ]);
    let open = period("2026-03-21", Some(at("20T10:00")), Some(at("21T10:00")));
    assert_eq!(period_of(&past, "20T10:00"), open);
    // From UTC+14 to UTC-11: there it is the 20th then, and the 21st after that.
    let next = period("2026-03-22", Some(at("21T10:00")), Some(at("23T11:00")));
    assert_eq!(period_of(&past, "21T10:00"), next);
}

#[test]
fn rule_02_of_two_changes_within_one_period_the_second_counts() {
    let catalogue = by_user_zone();
    let past = given(&catalogue, &[]).after(&[
        gift("20T10:00"),
        moves_to(EAST, "20T11:00"),
        moves_to(WEST, "20T12:00"),
    ]);
    assert_eq!(period_of(&past, "20T23:59"), day(20));
    let next = period("2026-03-21", Some(at("21T00:00")), Some(at("22T04:00")));
    assert_eq!(period_of(&past, "21T00:00"), next);
}

#[test]
fn rule_02_there_and_back_within_one_period_changes_nothing() {
    let catalogue = by_user_zone();
    let past = given(&catalogue, &[]).after(&[
        moves_to(EAST, "10T00:00"),
        gift("20T10:00"),
        moves_to(WEST, "20T11:00"),
        moves_to(EAST, "20T12:00"),
    ]);
    let next = period("2026-03-21", Some(at("20T15:00")), Some(at("21T15:00")));
    assert_eq!(period_of(&past, "20T15:00"), next);
}

#[test]
fn rule_02_an_older_update_that_arrives_later_moves_nothing() {
    let catalogue = by_user_zone();
    let past = given(&catalogue, &[]).after(&[moves_to(EAST, "20T12:00")]);
    past.when(&moves_to(WEST, "20T11:59")).then(&[]);
    let (zone, attributes) = (Some(WEST.to_owned()), serde_json::Map::new());
    let same_time = Event::UserUpdated { at: at("20T12:00"), zone, attributes, refused: None };
    past.when(&moves_to(WEST, "20T12:00")).then(&[same_time]);
}

#[test]
fn rule_02_an_update_without_a_zone_leaves_it() {
    let catalogue = by_user_zone();
    let attributes = json!({ "attributes": { "level": 3, "name": null } });
    let past = given(&catalogue, &[]).after(&[
        moves_to(EAST, "20T12:00"),
        action("plaudit.user.updated", at("20T13:00"), &json!({ "attributes": { "name": "Ada" } })),
        action("plaudit.user.updated", at("20T14:00"), &attributes),
    ]);
    assert_eq!(past.state.zones.current(), EAST);
    assert_eq!(Value::from(past.state.attributes), json!({ "level": 3 }));
}

#[test]
fn rule_02_an_update_that_arrives_late_leaves_the_open_period_alone() {
    let catalogue = by_user_zone();
    // The 20th is open when the update of the 19th arrives.
    let past = given(&catalogue, &[]).after(&[gift("20T01:00"), moves_to(WEST, "19T12:00")]);
    assert_eq!(period_of(&past, "20T23:59"), day(20));
    let next = period("2026-03-21", Some(at("21T00:00")), Some(at("22T04:00")));
    assert_eq!(period_of(&past, "21T00:00"), next);
}

#[test]
fn rule_02_each_task_takes_a_change_at_its_own_boundary() {
    let weekly = json!({ "id": "weekly", "every": "week", "zone": "user" });
    let catalogue =
        catalogue([daily_with(&[9], json!({ "zone": "user" })), daily_with(&[9], weekly)]);
    let past = given(&catalogue, &[]).after(&[gift("18T10:00"), moves_to(EAST, "18T12:00")]);
    let events = past.when(&gift("20T10:00")).outcome.unwrap().events;
    let periods = events.iter().map(|e| match e {
        Event::ProgressRecorded { period, .. } => period.clone(),
        other => panic!("{other:?}"),
    });
    let there = period("2026-03-20", Some(at("19T15:00")), Some(at("20T15:00")));
    let week = period("2026-W12", Some(at("16T00:00")), Some(at("23T00:00")));
    assert_eq!(periods.collect::<Vec<_>>(), [there, week]);
}

/// Without the limit, the changes that an open period depends on would have to be forgotten.
#[test]
fn rule_02_a_zone_that_changes_too_often_stays_and_the_event_says_why() {
    let catalogue = by_user_zone();
    let mut past = given(&catalogue, &[]).after(&[moves_to(EAST, "01T00:00")]);
    let hour = jiff::SignedDuration::from_hours(1);
    let attributes = json!({ "level": 3 });
    let update = |zone: &str, later: i32| {
        let data = json!({ "zone": zone, "attributes": attributes });
        action("plaudit.user.updated", at("01T00:00") + hour * later, &data)
    };
    for later in 1..=64 {
        past = past.after(&[update(if later % 2 == 0 { EAST } else { WEST }, later)]);
    }
    let events = past.when(&update(WEST, 65)).outcome.unwrap().events;
    let [Event::UserUpdated { zone: None, attributes, refused: Some(why), .. }] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(Value::from(attributes.clone()), json!({ "level": 3 }));
    assert!(why.starts_with("the zone has changed 64 times within 800 days"), "{why}");
    let soon = past.clone().after(&[update(WEST, 65)]);
    assert_eq!(soon.state.zones.current(), EAST);
    assert_eq!(past.after(&[update(WEST, 64 + 25 * 24)]).state.zones.current(), WEST);
}
