//! Rule 8: the measures that depend on more than the current action, case by case and against an
//! oracle that looks at all actions of a period again.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::calendar::zone;
use crate::user_tasks::{SMALL_SET_MAX, Seen, ValueHash, distinct_values};

/// A task called `daily` with this measure, every day unless it says otherwise.
fn measured(measure: Value, target: i64, changes: Value) -> Value {
    let mut task = daily(json!({
        "objective": { "on": ["gift.sent"], "measure": measure, "target": target },
        "milestones": [{ "at": target, "rewards": [coins(10)] }],
    }));
    task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    task
}

fn gift_with(field: &str, value: &Value, when: &str) -> Input {
    action("gift.sent", at(when), &json!({ field: value }))
}

fn level(value: i64, when: &str) -> Input {
    gift_with("level", &json!(value), when)
}

fn room(value: &Value, when: &str) -> Input {
    gift_with("room", value, when)
}

fn latest(mut event: Event) -> Event {
    let Event::ProgressRecorded { latest, .. } = &mut event else { panic!("{event:?}") };
    *latest = true;
    event
}

fn with_value(seen: &Value, mut event: Event) -> Event {
    let Event::ProgressRecorded { value, .. } = &mut event else { panic!("{event:?}") };
    *value = Some(ValueHash::of(seen));
    event
}

fn on_day(key: &str, mut event: Event) -> Event {
    let Event::ProgressRecorded { day, .. } = &mut event else { panic!("{event:?}") };
    *day = Some(key.to_owned().into());
    event
}

fn not_counted(reason: &str, when: &str) -> Event {
    let (task, reason, at) = (id("daily"), reason.to_owned(), at(when));
    Event::ActionNotCounted { task, version: 1, reason, at }
}

/// The values that the newest period of `daily` has counted.
fn seen_of(given: &Given<'_>) -> Option<Seen> {
    given.state.tasks[&id("daily")].periods.last().unwrap().seen.clone()
}

#[test]
fn rule_08_max_is_the_highest_value_up_to_the_target() {
    let catalogue = catalogue([measured(json!({ "max": ["level"] }), 10, json!({}))]);
    let past = given(&catalogue, &[]).after(&[level(4, "29T11:00")]);
    let higher = progressed("daily", day(29), [3, 7, 10], "29T12:00");
    past.when(&level(7, "29T12:00")).then(&[higher]);
    let (value, highest) = (4, 4);
    let same = UnmovedReason::NotHigher { value, highest };
    past.when(&level(4, "29T12:00")).then_nothing("daily", same);
    let expected = [
        dropping(progressed("daily", day(29), [96, 10, 10], "29T12:00"), 90),
        reached("daily", &day(29), 10, 10, "29T12:00"),
        completed("daily", &day(29), "29T12:00"),
    ];
    past.when(&level(100, "29T12:00")).then(&expected);
    let missing = not_counted("data.level is missing", "29T12:00");
    past.when(&gift("29T12:00")).then(&[missing]);
}

#[test]
fn rule_08_latest_goes_up_and_down_by_the_time_of_the_actions() {
    let catalogue = catalogue([measured(json!({ "latest": ["level"] }), 10, json!({}))]);
    let past = given(&catalogue, &[]).after(&[level(4, "29T11:00")]);
    let higher = latest(progressed("daily", day(29), [3, 7, 10], "29T12:00"));
    past.when(&level(7, "29T12:00")).then(&[higher]);
    let lower = latest(progressed("daily", day(29), [-4, 0, 10], "29T12:00"));
    past.when(&level(0, "29T12:00")).then(&[lower]);
    let earlier = UnmovedReason::NotLatest(at("29T11:00"));
    past.when(&level(9, "29T10:00")).then_nothing("daily", earlier);
}

#[test]
fn rule_08_latest_at_equal_times_is_the_later_in_the_log() {
    let catalogue = catalogue([measured(json!({ "latest": ["level"] }), 10, json!({}))]);
    let past = given(&catalogue, &[]).after(&[level(4, "29T11:00")]);
    let later_in_the_log = latest(progressed("daily", day(29), [2, 6, 10], "29T11:00"));
    past.when(&level(6, "29T11:00")).then(&[later_in_the_log]);
    let same = UnmovedReason::NotLatest(at("29T11:00"));
    past.when(&level(4, "29T11:00")).then_nothing("daily", same);
}

/// Otherwise the action of 11:30, which arrives last, would replace the one of 12:00.
#[test]
fn rule_08_latest_remembers_a_later_action_of_the_same_value() {
    let catalogue = catalogue([measured(json!({ "latest": ["level"] }), 10, json!({}))]);
    let past = given(&catalogue, &[]).after(&[level(4, "29T11:00")]);
    let same_value = latest(progressed("daily", day(29), [0, 4, 10], "29T12:00"));
    past.when(&level(4, "29T12:00")).then(&[same_value]);
    let past = past.after(&[level(4, "29T12:00")]);
    let earlier = UnmovedReason::NotLatest(at("29T12:00"));
    past.when(&level(9, "29T11:30")).then_nothing("daily", earlier);
    // The first value of a period may be 0, and is the latest all the same.
    let zero = given(&catalogue, &[]).after(&[level(0, "29T12:00")]);
    let earlier = UnmovedReason::NotLatest(at("29T12:00"));
    zero.when(&level(9, "29T11:30")).then_nothing("daily", earlier);
}

#[test]
fn rule_08_a_latest_that_falls_keeps_the_milestones_it_reached() {
    let milestones =
        json!([{ "at": 3, "rewards": [coins(1)] }, { "at": 9, "rewards": [coins(2)] }]);
    let task =
        measured(json!({ "latest": ["level"] }), 9, json!({ "milestones": milestones.clone() }));
    let open = catalogue([task]);
    let past = given(&open, &[]).after(&[level(5, "29T10:00"), level(1, "29T11:00")]);
    let again = latest(progressed("daily", day(29), [4, 5, 9], "29T12:00"));
    past.when(&level(5, "29T12:00")).then(&[again]);

    let prerequisite = first_gift(json!({ "objective": { "on": ["other"], "target": 1 } }));
    let changes = json!({
        "milestones": milestones, "requires": ["first-gift"], "while_locked": "count",
    });
    let locked = catalogue([prerequisite, measured(json!({ "latest": ["level"] }), 9, changes)]);
    let past = given(&locked, &[]).after(&[level(5, "29T10:00"), level(1, "29T11:00")]);
    let unlocking = decide(&past.state, &action("other", at("29T12:00"), &json!({})), &locked);
    let released = unlocking.unwrap().events.pop().unwrap();
    assert_eq!(released, reached("daily", &day(29), 3, 1, "29T12:00"));
}

#[test]
fn rule_08_distinct_counts_each_json_value_once_in_a_period() {
    let catalogue = catalogue([measured(json!({ "distinct": ["room"] }), 10, json!({}))]);
    let past = given(&catalogue, &[]).after(&[room(&json!(7), "29T11:00")]);
    let other = json!("7");
    let counted = with_value(&other, progressed("daily", day(29), [1, 2, 10], "29T12:00"));
    past.when(&room(&other, "29T12:00")).then(&[counted]);
    let before = UnmovedReason::CountedBefore;
    past.when(&room(&json!(7.0), "29T12:00")).then_nothing("daily", before);
    let next_day = with_value(&json!(7), progressed("daily", day(30), [1, 1, 10], "30T12:00"));
    past.when(&room(&json!(7), "30T12:00")).then(&[next_day]);
    for (sent, reason) in [
        (json!({ "room": null }), "data.room is null"),
        (json!({ "other": 1 }), "data.room is missing"),
    ] {
        let refused = not_counted(reason, "29T12:00");
        past.when(&action("gift.sent", at("29T12:00"), &sent)).then(&[refused]);
    }
}

#[test]
fn rule_08_distinct_counts_no_number_that_stands_for_its_neighbours_too() {
    let catalogue = catalogue([measured(json!({ "distinct": ["room"] }), 10, json!({}))]);
    let past = given(&catalogue, &[]);
    let sent = |value: &str| room(&serde_json::from_str(value).unwrap(), "29T12:00");
    for inexact in
        ["9007199254740993.0", "-9007199254740992e0", "[1, {\"a\": 1e300}]", "18446744073709551617"]
    {
        let events = past.when(&sent(inexact)).events();
        let [Event::ActionNotCounted { reason, .. }] = &events[..] else { panic!("{events:?}") };
        assert!(reason.starts_with("data.room holds a number that"), "{inexact}: {reason}");
    }
    for exact in ["9007199254740993", "9007199254740991.0", "[1, {\"a\": 0.5}]"] {
        assert_eq!(past.when(&sent(exact)).events().len(), 1, "{exact}");
    }
}

#[test]
fn rule_08_a_completed_period_forgets_what_it_has_seen() {
    let catalogue = catalogue([measured(json!({ "distinct": ["room"] }), 2, json!({}))]);
    let past = given(&catalogue, &[]).after(&[room(&json!("a"), "29T11:00")]);
    assert_eq!(seen_of(&past).unwrap().len(), 1);
    let past = past.after(&[room(&json!("b"), "29T12:00")]);
    assert_eq!(seen_of(&past), None);
    let full = UnmovedReason::Completed("2026-03-29".to_owned());
    past.when(&room(&json!("c"), "29T13:00")).then_nothing("daily", full);
}

#[test]
fn rule_23_distinct_is_exact_up_to_its_bound_and_refuses_what_is_beyond() {
    let changes = json!({ "kind": "ordinary", "every": "once" });
    let task = measured(json!({ "distinct": ["room"] }), 1_000_000, changes);
    let catalogue = catalogue([task]);
    let mut past = given(&catalogue, &[]);
    for number in 0..SEEN_PER_PERIOD_MAX {
        past = past.after(&[room(&json!(number), "29T11:00")]);
    }
    let task = &past.state.tasks[&id("daily")].periods[0];
    assert_eq!((task.progress, task.seen.as_ref().unwrap().len()), (10_000, 10_000));
    let stored = serde_json::to_string(&task.seen).unwrap();
    assert!(stored.len() < 16 * 10_000 + 100, "{} bytes", stored.len());
    let reason = "the period has counted 10000 values, the most it can";
    past.when(&room(&json!("new"), "29T12:00")).then(&[not_counted(reason, "29T12:00")]);
    past.when(&room(&json!(77), "29T12:00")).then_nothing("daily", UnmovedReason::CountedBefore);
}

/// The state as it is read from rows: of a large set of values only the chunks of these.
fn with_chunks_of(state: &UserTasks, values: &BTreeSet<ValueHash>) -> UserTasks {
    let mut state = state.clone();
    for open in state.tasks.values_mut().flat_map(|task| &mut task.periods) {
        let Some(Seen::Values(set)) = &mut open.seen else { continue };
        let chunks: BTreeMap<u8, Vec<u8>> = set.chunks().collect();
        set.forget_chunks();
        for value in values {
            let packed = chunks.get(&value.chunk()).map_or(&[][..], Vec::as_slice);
            set.put_chunk(value.chunk(), packed).unwrap();
        }
    }
    state
}

#[test]
fn rule_08_a_large_set_decides_by_the_chunk_of_the_actions_value_as_the_whole_set_does() {
    let task = measured(json!({ "distinct": ["room"] }), 1_000, json!({}));
    let catalogue = catalogue([task]);
    let first: Vec<_> = (0..2 * SMALL_SET_MAX).map(|n| room(&json!(n), "29T11:00")).collect();
    let past = given(&catalogue, &[]).after(&first);
    for number in (0..4 * SMALL_SET_MAX).step_by(7) {
        let sent = room(&json!(number), "29T12:00");
        let Input::RecordAction { action, .. } = &sent else { panic!("{sent:?}") };
        let looked_for = distinct_values(catalogue.task(&id("daily")).unwrap(), action);
        assert_eq!(looked_for, BTreeSet::from([ValueHash::of(&json!(number))]));
        let mut read = with_chunks_of(&past.state, &looked_for);
        let by_read = decide(&read, &sent, &catalogue).unwrap();
        let by_all = decide(&past.state, &sent, &catalogue).unwrap();
        assert_eq!(by_read, by_all);
        assert_eq!(by_all.events.is_empty(), number < 2 * SMALL_SET_MAX);
        let mut whole = past.state.clone();
        by_all.events.iter().for_each(|event| {
            evolve(&mut read, event);
            evolve(&mut whole, event);
        });
        assert_eq!(read, with_chunks_of(&whole, &looked_for));
    }
}

#[test]
fn rule_08_an_action_is_looked_for_by_each_field_that_a_version_counts() {
    let by = |field: &str| measured(json!({ "distinct": [field] }), 10, json!({}));
    let catalogue = catalogue([by("room"), by("level"), measured(json!("days"), 10, json!({}))]);
    let task = catalogue.task(&id("daily")).unwrap();
    let values_of = |kind: &str, data: Value| {
        let sent = action(kind, at("29T12:00"), &data);
        let Input::RecordAction { action, .. } = &sent else { panic!("{sent:?}") };
        distinct_values(task, action)
    };
    let both = ["a", "b"].map(|text| ValueHash::of(&json!(text)));
    assert_eq!(values_of("gift.sent", json!({ "room": "a", "level": "b" })), both.into());
    assert_eq!(values_of("gift.sent", json!({ "room": null, "level": "b" })), [both[1]].into());
    assert_eq!(values_of("gift.sent", json!({})), BTreeSet::new());
    assert_eq!(values_of("user.signed_in", json!({ "room": "a" })), BTreeSet::new());
}

#[test]
fn rule_08_days_are_those_of_the_tasks_zone_and_day_start() {
    let changes =
        json!({ "every": "week", "zone": { "fixed": "Europe/Paris" }, "day_starts_at": "05:00" });
    let catalogue = catalogue([measured(json!("days"), 3, changes)]);
    let week = period("2026-W13", Some(at("23T04:00")), Some(at("30T03:00")));
    let past = given(&catalogue, &[]).after(&[gift("24T12:00")]);
    let same_day = UnmovedReason::CountedBefore;
    // 04:59 in Paris still belongs to the day before.
    past.when(&gift("25T03:59")).then_nothing("daily", same_day);
    let next = on_day("2026-03-25", progressed("daily", week.clone(), [1, 2, 3], "25T04:00"));
    past.when(&gift("25T04:00")).then(&[next]);
    let earlier = on_day("2026-03-23", progressed("daily", week, [1, 2, 3], "23T05:00"));
    past.when(&gift("23T05:00")).then(&[earlier]);
}

#[test]
fn rule_02_days_follow_a_user_who_moves_when_the_tasks_zone_does() {
    let changes = json!({ "every": "week", "zone": "user" });
    let weekly = catalogue([measured(json!("days"), 9, changes)]);
    // The running week goes by Tokyo to its end, and so do its days.
    let past = given(&weekly, &[]).after(&[moves_to("Asia/Tokyo", "23T00:00")]);
    let past = past.after(&[gift("24T00:00"), moves_to("America/New_York", "24T01:00")]);
    let events = |given: &Given<'_>, when| decide(&given.state, &gift(when), given.catalogue);
    let day_of = |given: &Given<'_>, when| match &events(given, when).unwrap().events[..] {
        [Event::ProgressRecorded { day, .. }] => day.clone().map(|day| day.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(day_of(&past, "25T16:00").as_deref(), Some("2026-03-26"));
    assert_eq!(day_of(&past, "31T02:00").as_deref(), Some("2026-03-30"));
    // `once` never ends: its days are those of the new zone from the next day on.
    let once = json!({ "kind": "ordinary", "every": "once", "zone": "user" });
    let ordinary = catalogue([measured(json!("days"), 9, once)]);
    let past = given(&ordinary, &[]).after(&[moves_to("Asia/Tokyo", "23T00:00")]);
    let past = past.after(&[gift("24T00:00"), moves_to("America/New_York", "24T01:00")]);
    assert_eq!(day_of(&past, "26T02:00").as_deref(), Some("2026-03-25"));
}

#[test]
fn rule_09_an_open_period_goes_on_under_another_measure_from_where_it_is() {
    let adopt = || json!({ "on_new_version": "adopt" });
    let distinct = || measured(json!({ "distinct": ["room"] }), 10, adopt());
    let before = catalogue([distinct()]);
    let after = catalogue([distinct(), measured(json!({ "latest": ["level"] }), 10, adopt())]);
    let past =
        given(&before, &[]).after(&[room(&json!(1), "29T10:00"), room(&json!(2), "29T11:00")]);
    let past = past.under(&after);
    let counted = latest(by_version(2, progressed("daily", day(29), [-1, 1, 10], "29T09:00")));
    past.when(&level(1, "29T09:00")).then(&[counted]);
    let past = past.after(&[level(1, "29T09:00")]);
    assert_eq!(seen_of(&past), Some(Seen::Latest(at("29T09:00"))));
}

/// One action of a random life.
#[derive(Debug, Clone)]
struct Sent {
    minute: i64,
    value: i64,
}

fn lives() -> impl Strategy<Value = Vec<Sent>> {
    let sent = (0..(4 * 24 * 60_i64), 0..12_i64);
    vec(sent.prop_map(|(minute, value)| Sent { minute: minute / 30 * 30, value }), 0..40)
}

fn instant(sent: &Sent) -> Timestamp {
    at("05T00:00") + jiff::SignedDuration::from_mins(sent.minute)
}

const TARGET: i64 = 7;

/// The value of a measure, computed from all actions again.
fn value_of(measure: &str, actions: &[&Sent]) -> i64 {
    match measure {
        "count" => i64::try_from(actions.len()).unwrap(),
        "sum" => actions.iter().map(|sent| sent.value).sum(),
        "max" => actions.iter().map(|sent| sent.value).max().unwrap_or(0),
        // Of actions at the same time, the last one of the log wins.
        "latest" => actions.iter().max_by_key(|sent| sent.minute).map_or(0, |sent| sent.value),
        "distinct" => {
            let values: BTreeSet<_> = actions.iter().map(|sent| sent.value).collect();
            i64::try_from(values.len()).unwrap()
        }
        other => panic!("{other}"),
    }
}

/// All actions that a daily task has counted, in the order of their arrival.
#[derive(Default)]
struct Oracle<'s> {
    days: [Vec<&'s Sent>; 4],
    watermark: Option<i64>,
}

#[derive(Debug, PartialEq)]
enum Expected {
    TooLate,
    /// The action changes nothing.
    Nothing,
    Progress(i64),
}

impl<'s> Oracle<'s> {
    fn progress(&self, measure: &str, day: usize) -> i64 {
        value_of(measure, &self.days[day]).min(TARGET)
    }

    fn take(&mut self, measure: &str, lateness: i64, sent: &'s Sent) -> Expected {
        let day = usize::try_from(sent.minute / (24 * 60)).unwrap();
        let closes_at = (sent.minute / (24 * 60) + 1) * 24 * 60 + lateness;
        if self.watermark.is_some_and(|watermark| watermark >= closes_at) {
            return Expected::TooLate;
        }
        let before = value_of(measure, &self.days[day]);
        if before >= TARGET {
            return Expected::Nothing;
        }
        let latest = self.days[day].iter().map(|sent| sent.minute).max();
        self.days[day].push(sent);
        let value = value_of(measure, &self.days[day]);
        let is_latest = measure == "latest" && latest < Some(sent.minute);
        if value == before && !is_latest {
            return Expected::Nothing;
        }
        self.watermark = self.watermark.max(Some(sent.minute));
        Expected::Progress(value.min(TARGET))
    }
}

fn outcome(events: &[Event]) -> Expected {
    match events.first() {
        None => Expected::Nothing,
        Some(Event::ActionTooLate { .. }) => Expected::TooLate,
        Some(Event::ProgressRecorded { progress, .. }) => Expected::Progress(*progress),
        Some(other) => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn rule_08_each_measure_agrees_with_an_oracle_in_whatever_order_actions_arrive(
        life in lives(), kind in 0..5_usize, lateness in 0..3_usize,
    ) {
        let name = ["count", "sum", "max", "latest", "distinct"][kind];
        let lateness = [0, 5 * 60, 10 * 24 * 60][lateness];
        let measure = if name == "count" { json!(name) } else { json!({ name: ["value"] }) };
        let catalogue = catalogue([measured(measure.clone(), TARGET, json!({
            "objective": { "on": ["gift.sent"], "measure": measure, "target": TARGET,
                "lateness_seconds": 60 * lateness },
        }))]);
        let (mut state, mut events, mut oracle) = (UserTasks::default(), Vec::new(), Oracle::default());
        for sent in &life {
            let command = action("gift.sent", instant(sent), &json!({ "value": sent.value }));
            let decided = decide(&state, &command, &catalogue).unwrap().events;
            let expected = oracle.take(name, lateness, sent);
            prop_assert_eq!(outcome(&decided), expected, "{} {:?}", name, sent);
            decided.iter().for_each(|event| evolve(&mut state, event));
            events.extend(decided);
            // A redelivery that is not recognised as such changes nothing if the measure counts a
            // value once.
            if matches!(name, "max" | "latest" | "distinct") {
                let again = decide(&state, &command, &catalogue).unwrap().events;
                let moves = |e: &Event| matches!(e, Event::ProgressRecorded { .. });
                prop_assert!(!again.iter().any(moves), "{:?}", again);
            }
        }
        prop_assert_eq!(&fold(&events), &state);
        prop_assert_eq!(&fold(events.iter().flat_map(|e| [e, e])), &state);
        for open in state.tasks.get(&id("daily")).map_or(&[][..], |task| &task.periods) {
            let day = open.period.key.as_str()[8..].parse::<usize>().unwrap() - 5;
            prop_assert_eq!(open.progress, oracle.progress(name, day));
            prop_assert_eq!(open.completed, open.progress == TARGET);
        }
    }

    #[test]
    fn rule_08_days_agree_with_the_days_of_the_wall_clock(
        life in lives(), name in 0..3_usize, hour in 0..24_i8,
    ) {
        let name = ["Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"][name];
        let start = format!("{hour:02}:00");
        let changes = json!({ "every": "month", "zone": { "fixed": name }, "day_starts_at": start });
        let catalogue = catalogue([measured(json!("days"), 30, changes)]);
        let (mut state, mut days) = (UserTasks::default(), BTreeSet::new());
        for sent in &life {
            let local = zone(name).unwrap().to_datetime(instant(sent));
            days.insert(local.checked_sub(jiff::Span::new().hours(hour)).unwrap().date());
            let command = action("gift.sent", instant(sent), &json!({}));
            let events = decide(&state, &command, &catalogue).unwrap().events;
            events.iter().for_each(|event| evolve(&mut state, event));
        }
        let task = state.tasks.get(&id("daily"));
        let progress: i64 = task.map_or(0, |task| task.periods.iter().map(|p| p.progress).sum());
        prop_assert_eq!(progress, i64::try_from(days.len()).unwrap());
    }
}
