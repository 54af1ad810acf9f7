//! Invariants that must hold after any sequence of commands.

use std::collections::{BTreeSet, HashMap};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::screen::{ScreenRequest, TaskScreenState, screen};

/// Tasks of every kind and measure, with prerequisites, lateness, caps and audiences.
pub(super) fn zoo() -> Vec<Value> {
    let late = json!({ "on": ["gift.sent"], "target": 4, "lateness_seconds": 90_000 });
    let capped = json!({ "on": ["gift.sent"], "target": 50, "measure": { "sum": ["coins"] },
        "cap": { "per_action": 20, "per_period": 60 } });
    let measured = |name: &str, every: &str, measure: Value, more: Value| {
        let mut objective = json!({ "on": ["gift.sent"], "target": 6, "measure": measure });
        objective.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        daily(json!({ "id": name, "every": every, "zone": "user", "objective": objective,
            "milestones": [{ "at": 2, "rewards": [coins(1)] }, { "at": 6, "rewards": [coins(2)] }] }))
    };
    let mut latest = measured("latest", "day", json!({ "latest": ["coins"] }), json!({}));
    latest["requires"] = json!(["sign-in"]);
    latest["while_locked"] = json!("count");
    let mut days = measured("days", "week", json!("days"), json!({}));
    days["audience"] = json!({ "where": "user.zone != 'Asia/Tokyo'" });
    let carried = json!({ "carry_over": true, "lateness_seconds": 90_000 });
    let composite = |name: &str, of: &[&str], target: i64| {
        daily(json!({ "id": name, "objective": { "completions_of": of, "target": target },
            "milestones": [{ "at": 1, "rewards": [] }, { "at": target, "rewards": [coins(3)] }] }))
    };
    vec![
        measured("max", "day", json!({ "max": ["coins"] }), json!({ "lateness_seconds": 7_200 })),
        latest,
        measured("distinct", "week", json!({ "distinct": ["coins"] }), json!({})),
        days,
        measured("carried", "day", json!({ "sum": ["coins"] }), carried),
        composite("inner", &["late", "carried"], 2),
        composite("outer", &["inner", "by-zone", "max", "sign-in"], 3),
        first_gift(json!({})),
        daily_with(
            &[1, 2, 4],
            json!({ "id": "by-zone", "zone": "user", "objective": late.clone() }),
        ),
        daily(json!({ "id": "late", "objective": late,
            "milestones": [{ "at": 2, "rewards": [coins(1)] }, { "at": 4, "rewards": [coins(2)] }] })),
        daily(json!({ "id": "sum", "every": "week", "objective": capped,
            "milestones": [{ "at": 10, "rewards": [coins(1)] }, { "at": 50, "rewards": [coins(2)] }] })),
        daily(json!({ "id": "early", "kind": "early_bird", "zone": "user" })),
        sign_in(&[1, 3], json!({ "zone": "user", "streak": { "cycle": 3 } })),
        daily_with(
            &[2],
            json!({ "id": "locked", "requires": ["sign-in"], "while_locked": "count" }),
        ),
        sign_in(
            &[1, 2],
            json!({ "id": "locked-streak", "requires": ["sum"], "while_locked": "count",
            "claim": { "mode": "automatic" } }),
        ),
    ]
}

/// The tasks of [`zoo`], and a streak with everything that can protect and fill a day.
fn zoo_with_streak() -> Vec<Value> {
    let rules = json!({
        "cycle": 3, "grace_periods": 1, "freezes": { "initial": 1, "max": 2 },
        "make_up": { "look_back": 4, "on": "user.made_up_day" },
        "pauses": [{ "from": at("11T00:00"), "until": at("11T12:00") }],
    });
    let objective = json!({ "on": ["user.signed_in"], "target": 1, "lateness_seconds": 100_000 });
    let changes = json!({ "id": "forgiving", "streak": rules, "objective": objective });
    let mut tasks = zoo();
    tasks.push(sign_in(&[1, 2, 3], changes));
    tasks
}

/// The same tasks a version later: other targets, other hours.
fn zoo_later() -> Vec<Value> {
    let mut tasks = zoo_with_streak();
    for mut task in zoo_with_streak() {
        task["day_starts_at"] = json!("05:00");
        let kept: Vec<Value> = task["milestones"].as_array().unwrap()[1..].to_vec();
        if !kept.is_empty() {
            task["milestones"] = kept.into();
        }
        tasks.push(task);
    }
    tasks
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a test has a few dozen of them")]
enum Step {
    Input(Input),
    /// From here on the later catalogue applies.
    Publish,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let minute = 0..(12 * 24 * 60_i64);
    let zones = ["UTC", "Europe/Paris", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Tokyo"];
    let instant = minute.prop_map(|m| at("05T00:00") + jiff::SignedDuration::from_mins(m));
    let acts = |kind, at, coins: i64| action(kind, at, &json!({ "coins": coins }));
    let gifts = (instant.clone(), -1..40_i64).prop_map(move |(at, n)| acts("gift.sent", at, n));
    let sign_ins = instant.clone().prop_map(move |at| acts("user.signed_in", at, 0));
    let moves = (instant.clone(), 0..zones.len()).prop_map(move |(at, zone)| {
        action("plaudit.user.updated", at, &json!({ "zone": zones[zone] }))
    });
    let ids: Vec<_> = zoo().iter().map(|task| id(task["id"].as_str().unwrap())).collect();
    let make_ups = (instant.clone(), 4..17_u8).prop_map(|(at, day)| {
        action("user.made_up_day", at, &json!({ "period": format!("2026-03-{day:02}") }))
    });
    let grants = instant.clone().prop_map(|at| {
        let (user, task, reason, by) = (user(), id("forgiving"), None, None);
        Input::from(Command::ByHand(HandCommand::GrantFreezes {
            user,
            task,
            count: 1,
            reason,
            by,
            at,
        }))
    });
    let claims = (instant, 0..ids.len()).prop_map(move |(claimed_at, task)| {
        let (task, period, milestone) = (ids[task].clone(), None, None);
        Input::from(Command::ClaimRewards { user: user(), task, period, milestone, claimed_at })
    });
    let command = prop_oneof![
        6 => gifts, 6 => sign_ins, 2 => moves, 2 => claims, 3 => make_ups, 1 => grants,
    ];
    let step = prop_oneof![30 => command.prop_map(Step::Input), 1 => Just(Step::Publish)];
    // Mostly in order of time, as actions arrive, with some disorder.
    (vec(step, 0..80), 0..4_usize).prop_map(|(mut steps, disorder)| {
        if disorder > 0 {
            steps.sort_by_key(when);
        }
        if disorder > 1 {
            for index in (0..steps.len().saturating_sub(4)).step_by(5) {
                steps.swap(index, index + 3);
            }
        }
        steps
    })
}

fn when(step: &Step) -> Timestamp {
    match step {
        Step::Input(Input::RecordAction { action, .. }) => action.occurred_at,
        Step::Input(Input::Command(Command::ClaimRewards { claimed_at, .. })) => *claimed_at,
        Step::Input(Input::Command(Command::ByHand(HandCommand::GrantFreezes { at, .. }))) => *at,
        _ => at("09T00:00"),
    }
}

/// Returns all events, and the state that was carried along while they were decided.
fn run(steps: &[Step]) -> (Vec<Event>, UserTasks) {
    let (mut catalogue, later) = (catalogue(zoo_with_streak()), catalogue(zoo_later()));
    let mut later = Some(later);
    let (mut events, mut state) = (Vec::new(), UserTasks::default());
    for step in steps {
        match step {
            Step::Publish => catalogue = later.take().unwrap_or(catalogue),
            Step::Input(command) => {
                let decided = decide(&state, command, &catalogue).unwrap_or_default().events;
                for event in &decided {
                    evolve(&mut state, event);
                }
                events.extend(decided);
            }
        }
    }
    (events, state)
}

proptest! {
    #[test]
    fn rule_05_folding_all_facts_gives_the_state_that_was_carried_along(steps in steps()) {
        let (events, state) = run(&steps);
        prop_assert_eq!(fold(&events), state);
    }

    #[test]
    fn rule_05_folding_each_fact_twice_changes_nothing(steps in steps()) {
        let (events, state) = run(&steps);
        prop_assert_eq!(fold(events.iter().flat_map(|e| [e, e])), state);
    }

    #[test]
    fn rule_14_each_milestone_of_a_period_is_reached_once_and_claimed_once(steps in steps()) {
        let (events, _) = run(&steps);
        let mut seen = HashMap::new();
        for event in &events {
            let name = match event {
                Event::MilestoneReached { task, period, milestone, .. } =>
                    ("reached", task, period.key.clone(), *milestone),
                Event::RewardsClaimed { task, period, milestone, .. } =>
                    ("claimed", task, period.key.clone(), *milestone),
                Event::TaskCompleted { task, period, .. } => ("completed", task, period.clone(), 0),
                Event::StreakAdvanced { task, period, .. } =>
                    ("stepped", task, period.key.clone(), 0),
                _ => continue,
            };
            let count = seen.entry(name.clone()).or_insert(0);
            *count += 1;
            prop_assert_eq!(*count, 1, "{:?}", name);
        }
    }

    #[test]
    fn rule_06_progress_is_never_above_the_target_and_only_a_latest_value_falls(steps in steps()) {
        let (events, _) = run(&steps);
        let mut reached: HashMap<_, (i64, i64)> = HashMap::new();
        for event in &events {
            let Event::ProgressRecorded { task, period, progress, target, credited, surplus, latest, .. } =
                event
            else {
                continue;
            };
            prop_assert!((0..=*target).contains(progress) && *surplus >= 0);
            prop_assert!(*surplus == 0 || progress == target);
            let now = (*progress, *surplus);
            let before = reached.insert((task, &period.key), now);
            // The amount carried over may make up the whole target.
            let is_more = *credited > 0 && before.is_none_or(|before| before < now);
            prop_assert!(is_more || *latest, "{} {}: {:?} after {:?}", task, period.key, now, before);
        }
    }

    #[test]
    fn rule_02_periods_of_a_task_never_overlap_and_keep_their_bounds(steps in steps()) {
        let (events, _) = run(&steps);
        let mut known: HashMap<_, Vec<&Period>> = HashMap::new();
        for event in &events {
            if let Event::ProgressRecorded { task, period, at, .. } = event {
                prop_assert!(period.contains(*at), "{} {:?} {}", task, period, at);
                let others = known.entry(task).or_default();
                for other in others.iter() {
                    let apart = period.ends_at <= other.starts_at || other.ends_at <= period.starts_at;
                    let same = *other == period;
                    prop_assert!(same || (apart && other.key != period.key), "{:?} {:?}", period, other);
                }
                others.push(period);
            }
        }
    }

    #[test]
    fn rule_20_whatever_can_be_claimed_is_shown_exactly_once(
        steps in steps(), minutes in 0..(14 * 24 * 60_i64),
    ) {
        let (_, state) = run(&steps);
        let catalogue = catalogue(zoo_later());
        let now = at("05T00:00") + jiff::SignedDuration::from_mins(minutes);
        let shown = screen(&user(), &state, &catalogue, now, &ScreenRequest::default());
        // The audience of one leaves out users in Tokyo.
        prop_assert!(shown.len() + 1 >= catalogue.tasks().len());
        for task in shown {
            let beside = task.unclaimed_from_earlier_periods.iter().flat_map(|u| &u.rewards);
            let rewards = task.milestones.iter().flat_map(|m| &m.rewards).chain(beside);
            let claimable = rewards.filter_map(|r| r.granted.as_ref());
            let claimable = claimable.filter(|g| g.state == RewardState::Claimable);
            let grants: BTreeSet<_> = claimable.clone().map(|g| g.grant).collect();
            let due = state.tasks.get(&task.id).map_or(0, |t| t.claimable.len());
            let counted = state.tasks.get(&task.id).map_or(0, |t| t.unclaimed_count);
            prop_assert_eq!(counted, due as u64);
            let listed = task.unclaimed_from_earlier_periods.len() as u64;
            prop_assert_eq!(task.unclaimed_count.min(20), listed);
            prop_assume!(task.unclaimed_count <= 20);
            prop_assert_eq!((claimable.count(), grants.len()), (due, due), "{:?}", task);
            prop_assert_eq!(task.state == TaskScreenState::Claimable, due > 0);
            prop_assert!(task.period.contains(now) && (0..=task.target).contains(&task.progress), "{:?}", task);
        }
    }

    #[test]
    fn facts_read_back_as_they_were_written(steps in steps()) {
        let (events, _) = run(&steps);
        for event in &events {
            let json = serde_json::to_value(event).unwrap();
            prop_assert_eq!(&json["type"], event.schema().0);
            prop_assert_eq!(&serde_json::from_value::<Event>(json).unwrap(), event);
        }
    }
}
