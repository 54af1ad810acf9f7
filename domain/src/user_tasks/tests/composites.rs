//! Tasks that count the completions of others.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::screen::{ScreenRequest, TaskScreenState, screen};

/// A daily task that `amount` actions of a type complete, without rewards.
fn wants(name: &str, kind: &str, amount: i64) -> Value {
    daily(json!({
        "id": name, "objective": { "on": [kind], "target": amount },
        "milestones": [{ "at": amount }],
    }))
}

/// A task that counts completions, every day unless it says otherwise.
fn all_of(name: &str, tasks: &[&str], target: i64, changes: Value) -> Value {
    let mut task = daily(json!({
        "id": name, "objective": { "completions_of": tasks, "target": target },
        "milestones": [{ "at": target, "rewards": [coins(10)] }],
    }));
    task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    task
}

fn done(kind: &str, when: &str) -> Input {
    action(kind, at(when), &json!({}))
}

fn counting(of: &str, mut event: Event) -> Event {
    let Event::ProgressRecorded { completion_of, .. } = &mut event else { panic!("{event:?}") };
    *completion_of = Some(id(of));
    event
}

/// The events of these tasks.
fn of_tasks<'e>(events: &'e [Event], names: &[&str]) -> Vec<&'e Event> {
    let is_of = |event: &&Event| names.iter().any(|name| event.task() == Some(&id(name)));
    events.iter().filter(is_of).collect()
}

fn events(given: &Given<'_>, command: &Input) -> Vec<Event> {
    decide(&given.state, command, given.catalogue).unwrap().events
}

#[test]
fn rule_07_a_completion_counts_in_its_transaction_with_the_time_of_the_completing_action() {
    let chest = all_of("chest", &["a", "b", "c"], 2, json!({}));
    let catalogue = catalogue([wants("a", "x", 2), wants("b", "y", 1), wants("c", "z", 1), chest]);
    let past = given(&catalogue, &[]).after(&[done("x", "29T10:00")]);
    assert_eq!(of_tasks(&events(&past, &done("q", "29T11:00")), &["chest"]), Vec::<&Event>::new());
    let first = counting("a", progressed("chest", day(29), [1, 1, 2], "29T11:00"));
    assert_eq!(of_tasks(&events(&past, &done("x", "29T11:00")), &["chest"]), [&first]);
    let past = past.after(&[done("x", "29T11:00")]);
    let expected = [
        progressed("c", day(29), [1, 1, 1], "29T12:00"),
        Event::MilestoneReached {
            task: id("c"),
            version: 1,
            period: day(29),
            milestone: 1,
            at: at("29T12:00"),
            mode: ClaimMode::Manual,
            rewards: vec![],
            terms: ClaimTerms::default(),
            budgeted: None,
        },
        completed("c", &day(29), "29T12:00"),
        counting("c", progressed("chest", day(29), [1, 2, 2], "29T12:00")),
        reached("chest", &day(29), 2, 10, "29T12:00"),
        completed("chest", &day(29), "29T12:00"),
    ];
    past.when(&done("z", "29T12:00")).then(&expected);
    let past = past.after(&[done("z", "29T12:00")]);
    let full = Unmoved { task: id("chest"), reason: UnmovedReason::Completed("2026-03-29".into()) };
    let last = decide(&past.state, &done("y", "29T13:00"), &catalogue).unwrap();
    assert!(last.unmoved.contains(&full), "{:?}", last.unmoved);
}

#[test]
fn rule_07_one_action_may_complete_several_tasks_that_a_composite_counts() {
    let chest = all_of("chest", &["a", "b"], 2, json!({}));
    let catalogue = catalogue([wants("a", "x", 1), wants("b", "x", 1), chest]);
    let events = events(&given(&catalogue, &[]), &done("x", "29T12:00"));
    let expected = [
        counting("a", progressed("chest", day(29), [1, 1, 2], "29T12:00")),
        counting("b", progressed("chest", day(29), [1, 2, 2], "29T12:00")),
        reached("chest", &day(29), 2, 10, "29T12:00"),
        completed("chest", &day(29), "29T12:00"),
    ];
    assert_eq!(of_tasks(&events, &["chest"]), expected.iter().collect::<Vec<_>>());
}

#[test]
fn rule_08_each_task_counts_once_in_a_period_of_the_composite() {
    let weekly = all_of("chest", &["a", "b"], 2, json!({ "every": "week" }));
    let catalogue = catalogue([wants("a", "x", 1), wants("b", "y", 1), weekly]);
    let past = given(&catalogue, &[]).after(&[done("x", "24T12:00"), done("x", "25T12:00")]);
    let chest =
        |given: &Given<'_>| given.state.tasks[&id("chest")].periods.last().unwrap().progress;
    assert_eq!(chest(&past), 1, "the same daily task on two days of one week");
    let decision = decide(&past.state, &done("x", "26T12:00"), &catalogue).unwrap();
    let before = Unmoved { task: id("chest"), reason: UnmovedReason::CountedBefore };
    assert!(decision.unmoved.contains(&before), "{:?}", decision.unmoved);
    let past = past.after(&[done("x", "31T12:00")]);
    assert_eq!(chest(&past), 1, "in the next week it counts again");
}

#[test]
fn rule_08_an_ordinary_composite_counts_what_was_completed_ever_from_its_publication_on() {
    let tasks = || [wants("a", "x", 1), first_gift(json!({})), wants("b", "y", 1)];
    let changes = json!({ "kind": "ordinary", "every": "once" });
    let checklist = all_of("chest", &["a", "b", "first-gift"], 2, changes);
    let (before, after) = (catalogue(tasks()), catalogue(tasks().into_iter().chain([checklist])));
    let past = given(&before, &[]).after(&[gift("10T12:00"), done("x", "10T12:00")]).under(&after);
    let counted = counting("a", progressed("chest", once(), [1, 1, 2], "11T12:00"));
    assert_eq!(of_tasks(&events(&past, &done("x", "11T12:00")), &["chest"]), [&counted]);
    let past = past.after(&[done("x", "11T12:00"), done("x", "25T12:00"), done("y", "28T12:00")]);
    assert_eq!(past.state.tasks[&id("chest")].completed_at, Some(at("28T12:00")));
}

#[test]
fn rule_07_a_composite_may_count_composites() {
    let inner = all_of("inner", &["a", "b"], 2, json!({}));
    let outer = all_of("outer", &["inner", "c"], 2, json!({}));
    let after = daily_with(&[1], json!({ "id": "z", "requires": ["outer"] }));
    let catalogue = catalogue([
        after,
        outer,
        inner,
        wants("c", "y", 1),
        wants("a", "x", 1),
        wants("b", "x", 1),
    ]);
    let past = given(&catalogue, &[]).after(&[done("y", "29T10:00")]);
    let events = events(&past, &done("x", "29T12:00"));
    let expected = [
        counting("inner", progressed("outer", day(29), [1, 2, 2], "29T12:00")),
        reached("outer", &day(29), 2, 10, "29T12:00"),
        completed("outer", &day(29), "29T12:00"),
    ];
    assert_eq!(of_tasks(&events, &["outer"]), expected.iter().collect::<Vec<_>>());
    // All of them are loaded for the action, and the one that the last unlocks.
    let needed = catalogue.states_needed("x").iter().map(|i| catalogue.tasks()[*i].id.as_str());
    let needed: BTreeSet<_> = needed.collect();
    assert_eq!(needed, BTreeSet::from(["a", "b", "c", "inner", "outer", "z"]));
}

#[test]
fn rule_07_a_completion_that_an_unlock_releases_counts_with_the_time_of_the_unlock() {
    let locked = json!({ "requires": ["first-gift"], "while_locked": "count" });
    let mut a = wants("a", "x", 1);
    a.as_object_mut().unwrap().extend(locked.as_object().unwrap().clone());
    let catalogue = catalogue([first_gift(json!({})), a, all_of("chest", &["a"], 1, json!({}))]);
    let past = given(&catalogue, &[]).after(&[done("x", "27T12:00"), done("x", "28T12:00")]);
    let events = events(&past, &gift("29T09:00"));
    let expected = [
        counting("a", progressed("chest", day(29), [1, 1, 1], "29T09:00")),
        reached("chest", &day(29), 1, 10, "29T09:00"),
        completed("chest", &day(29), "29T09:00"),
    ];
    assert_eq!(of_tasks(&events, &["chest"]), expected.iter().collect::<Vec<_>>());
}

#[test]
fn rule_07_a_locked_composite_skips_or_withholds_what_it_counts() {
    let make = |while_locked: &str| {
        let changes = json!({ "requires": ["first-gift"], "while_locked": while_locked });
        catalogue([first_gift(json!({})), wants("a", "x", 1), all_of("chest", &["a"], 1, changes)])
    };
    let skips = make("skip");
    let decision = decide(&UserTasks::default(), &done("x", "29T08:00"), &skips).unwrap();
    let reason = UnmovedReason::Locked(vec![id("first-gift")]);
    assert!(decision.unmoved.contains(&Unmoved { task: id("chest"), reason }));
    let counts = make("count");
    let past = given(&counts, &[]).after(&[done("x", "29T08:00")]);
    let expected =
        [reached("chest", &day(29), 1, 10, "29T09:00"), completed("chest", &day(29), "29T09:00")];
    let events = events(&past, &gift("29T09:00"));
    assert_eq!(of_tasks(&events, &["chest"]), expected.iter().collect::<Vec<_>>());
}

#[test]
fn rule_03_a_completion_in_a_period_that_the_composite_has_closed_is_too_late() {
    let mut late = wants("a", "x", 1);
    late["objective"]["lateness_seconds"] = json!(86_400);
    let catalogue =
        catalogue([late, wants("b", "y", 1), all_of("chest", &["a", "b"], 2, json!({}))]);
    let past = given(&catalogue, &[]).after(&[done("y", "29T12:00")]);
    let events = events(&past, &done("x", "28T12:00"));
    let (task, version, period) = (id("chest"), 1, day(28).key);
    let (watermark, at) = (at("29T12:00"), at("28T12:00"));
    let too_late = Event::ActionTooLate { task, version, period, watermark, at };
    assert_eq!(of_tasks(&events, &["chest"]), [&too_late]);
}

#[test]
fn rule_12_a_streak_may_count_periods_in_which_all_tasks_were_completed() {
    let mut streak = sign_in(&[1, 2], json!({}));
    streak["objective"] = json!({ "completions_of": ["a", "b"], "target": 2 });
    let catalogue = catalogue([wants("a", "x", 1), wants("b", "y", 1), streak]);
    let days = ["27", "28"]
        .map(|day| [done("x", &format!("{day}T10:00")), done("y", &format!("{day}T11:00"))]);
    let past = given(&catalogue, &[]).after(&days.concat()).after(&[done("x", "29T10:00")]);
    let streak = past.state.tasks[&id("sign-in")].streak.as_ref().unwrap();
    assert_eq!((streak.current, streak.last.key.as_str()), (2, "2026-03-28"));
}

#[test]
fn rule_10_a_paused_composite_counts_nothing() {
    let paused =
        catalogue_in(Status::Paused, [all_of("chest", &["a"], 1, json!({})), wants("a", "x", 1)]);
    given(&paused, &[]).when(&done("x", "29T12:00")).then(&[]);
}

#[test]
fn rule_09_an_open_period_counts_the_tasks_that_its_version_names() {
    let tasks = || [wants("a", "x", 1), wants("b", "y", 1)];
    let first = || all_of("chest", &["a"], 2, json!({}));
    let second = all_of("chest", &["b"], 2, json!({}));
    let before = catalogue(tasks().into_iter().chain([first()]));
    let after = catalogue(tasks().into_iter().chain([first(), second]));
    let past = given(&before, &[]).after(&[done("x", "29T10:00")]).under(&after);
    assert_eq!(of_tasks(&events(&past, &done("y", "29T12:00")), &["chest"]), Vec::<&Event>::new());
    let next_day = events(&past, &done("y", "30T12:00"));
    assert_eq!(of_tasks(&next_day, &["chest"]).len(), 1);
}

#[test]
fn rule_20_a_composite_shows_like_any_other_task() {
    let chest = all_of("chest", &["a", "b"], 2, json!({}));
    let catalogue = catalogue([wants("a", "x", 1), wants("b", "y", 1), chest]);
    let past = given(&catalogue, &[]).after(&[done("x", "29T10:00")]);
    let task = id("chest");
    let request = ScreenRequest { task: Some(&task), ..ScreenRequest::default() };
    let shown = screen(&user(), &past.state, &catalogue, at("29T12:00"), &request);
    assert_eq!(
        (shown[0].state, shown[0].progress, shown[0].target),
        (TaskScreenState::InProgress, 1, 2)
    );
}

proptest! {
    /// The oracle counts all completions again: how many of the named tasks were completed in the
    /// day.
    #[test]
    fn rule_08_composites_agree_with_an_oracle(
        sent in vec((0..3_usize, 0..(3 * 24 * 60_i64)), 0..40), target in 1..4_i64,
    ) {
        let lateness = |mut task: Value| {
            task["objective"]["lateness_seconds"] = json!(10 * 86_400);
            task
        };
        let tasks = [("a", "x", 1), ("b", "x", 3), ("c", "y", 2), ("d", "z", 1)];
        let tasks = tasks.map(|(name, kind, amount)| lateness(wants(name, kind, amount)));
        let inner = lateness(all_of("inner", &["a", "d"], 2, json!({})));
        let outer = lateness(all_of("outer", &["b", "c", "inner"], target, json!({})));
        let catalogue = catalogue(tasks.into_iter().chain([inner, outer]));
        let (mut state, mut all) = (UserTasks::default(), Vec::new());
        for (kind, minute) in sent {
            let when = at("05T00:00") + jiff::SignedDuration::from_mins(minute);
            let command = action(["x", "y", "z"][kind], when, &json!({}));
            let decided = decide(&state, &command, &catalogue).unwrap().events;
            decided.iter().for_each(|event| evolve(&mut state, event));
            all.extend(decided);
        }
        prop_assert_eq!(&fold(&all), &state);
        prop_assert_eq!(&fold(all.iter().flat_map(|e| [e, e])), &state);
        for day in 5..8 {
            let key = format!("2026-03-{day:02}");
            let completed = |name: &str| all.iter().any(|event| matches!(event,
                Event::TaskCompleted { task, period, .. } if task.as_str() == name && period.as_str() == key));
            for (name, parts, most) in [("inner", vec!["a", "d"], 2), ("outer", vec!["b", "c", "inner"], target)] {
                let count = i64::try_from(parts.iter().filter(|part| completed(part)).count()).unwrap();
                let progress = state.tasks.get(&id(name)).and_then(|task| {
                    task.periods.iter().find(|p| p.period.key.as_str() == key)
                });
                prop_assert_eq!(progress.map_or(0, |p| p.progress), count.min(most), "{} on {}", name, key);
                prop_assert_eq!(completed(name), count >= most);
            }
        }
    }
}

/// Version 2 of an ordinary checklist leaves out the task that the user did not complete.
#[test]
fn rule_09_a_composite_that_asks_for_less_is_completed_by_the_next_action_of_what_it_counted() {
    let once = |name: &str, kind: &str, status| {
        let mut task = wants(name, kind, 1);
        (task["kind"], task["every"]) = (json!("ordinary"), json!("once"));
        tasks_in(status, [task]).remove(0)
    };
    let checklist = |tasks: &[&str]| {
        let target = i64::try_from(tasks.len()).unwrap();
        let changes = json!({ "kind": "ordinary", "every": "once", "on_new_version": "adopt" });
        all_of("chest", tasks, target, changes)
    };
    let versions = [checklist(&["a", "b", "c", "d"]), checklist(&["a", "b", "c"])];
    let of = |count: usize, status_of_d| {
        let mut tasks = tasks_in(Status::Active, versions[..count].to_vec());
        let names = [("a", "w"), ("b", "x"), ("c", "y")];
        tasks.extend(names.map(|(name, kind)| once(name, kind, Status::Active)));
        tasks.push(once("d", "z", status_of_d));
        Catalogue::new(1, tasks).unwrap()
    };
    let (before, after) = (of(1, Status::Active), of(2, Status::Retired));
    let three = ["w", "x", "y"].map(|kind| done(kind, "28T10:00"));
    let past = given(&before, &[]).after(&three).under(&after);
    let expected = [
        by_version(2, progressed("chest", super::once(), [0, 3, 3], "29T10:00")),
        by_version(2, reached("chest", &super::once(), 3, 10, "29T10:00")),
        by_version(2, completed("chest", &super::once(), "29T10:00")),
    ];
    // An action of a completed or retired task, which is credited nothing.
    for kind in ["w", "y", "z"] {
        past.when(&done(kind, "29T10:00")).then(&expected);
    }
    past.when(&done("elsewhere", "29T10:00")).then(&[]);
    // The completion of a task that only the earlier version counts completes the composite too.
    let past = given(&before, &[]).after(&three);
    let active = of(2, Status::Active);
    let chest = past.under(&active).when(&done("z", "29T10:00")).events();
    assert_eq!(of_tasks(&chest, &["chest"]), expected.iter().collect::<Vec<_>>());
}

#[test]
fn rule_09_a_daily_composite_that_asks_for_less_is_completed_by_what_it_counts() {
    let chest =
        |target| all_of("chest", &["a", "b", "c"], target, json!({ "on_new_version": "adopt" }));
    let tasks = || [wants("a", "x", 1), wants("b", "y", 1), wants("c", "z", 1)];
    let before = catalogue(tasks().into_iter().chain([chest(3)]));
    let after = catalogue(tasks().into_iter().chain([chest(3), chest(2)]));
    let past = given(&before, &[]).after(&[done("x", "29T10:00"), done("y", "29T11:00")]);
    let past = past.under(&after);
    let expected = [
        by_version(2, progressed("chest", day(29), [0, 2, 2], "29T12:00")),
        by_version(2, reached("chest", &day(29), 2, 10, "29T12:00")),
        by_version(2, completed("chest", &day(29), "29T12:00")),
    ];
    past.when(&done("x", "29T12:00")).then(&expected);
}
