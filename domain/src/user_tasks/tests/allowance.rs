//! All expressions that an action or a screen meets share what they may cost.

use super::*;
use crate::catalogue::TASKS_TOUCHED_MAX;
use crate::expression::FULL_EVALUATIONS_MAX;
use crate::screen::{ScreenRequest, screen};

/// A `where` that uses up a full budget on a list of 2,000 numbers.
fn dear(list: &str) -> String {
    format!("{list}.exists(a, {list}.exists(b, a + b == -1))")
}

/// As many tasks as one action may touch: all but the last one have this in addition.
fn tasks(dear: &Value, cheap: &Value) -> Catalogue {
    let many = (1..TASKS_TOUCHED_MAX).map(|n| (format!("dear-{n:03}"), dear));
    let all = many.chain([("last".to_owned(), cheap)]);
    catalogue(all.map(|(id, changes)| {
        let mut task = daily(json!({ "id": id, "order": i32::from(id == "last") }));
        for (name, value) in changes.as_object().unwrap() {
            match task.get_mut(name).and_then(Value::as_object_mut) {
                Some(known) => known.extend(value.as_object().unwrap().clone()),
                None => task[name] = value.clone(),
            }
        }
        task
    }))
}

#[test]
fn many_dear_filters_cost_one_action_a_bounded_number_of_steps_and_stop_no_cheap_one() {
    let filter = |source: &str| json!({ "objective": { "where": source } });
    let catalogue = tasks(&filter(&dear("data.players")), &filter("data.coins >= 10"));
    let data = json!({ "players": vec![0; 2_000], "coins": 10 });
    let command = action("gift.sent", at("29T12:00"), &data);
    let decided = given(&catalogue, &[]).when(&command).outcome.unwrap();

    assert_eq!(decided.events, [progressed("last", day(29), [1, 1, 3], "29T12:00")]);
    let failed = |unmoved: &&Unmoved, why: &str| matches!(&unmoved.reason, UnmovedReason::FilterFailed(_, reason) if reason.contains(why));
    let count = |why: &str| decided.unmoved.iter().filter(|unmoved| failed(unmoved, why)).count();
    let full = usize::try_from(FULL_EVALUATIONS_MAX).unwrap();
    assert_eq!(count("it takes more than 150000 steps"), full);
    assert_eq!(count("common allowance"), TASKS_TOUCHED_MAX - 1 - full);

    let again = given(&catalogue, &[]).when(&command).outcome.unwrap();
    assert_eq!(again, decided, "a retry decides the same");
}

#[test]
fn many_dear_audiences_cost_a_bounded_number_of_steps_and_hide_no_task_with_a_cheap_one() {
    let audience = |source: &str| json!({ "audience": { "where": source } });
    let catalogue = tasks(&audience(&dear("user.l")), &audience("user.vip >= 2"));
    let attributes = json!({ "attributes": { "l": vec![0; 2_000], "vip": 2 } });
    let known = action("plaudit.user.updated", at("29T10:00"), &attributes);
    let user_of = given(&catalogue, &[]).after(&[known]);

    let request = ScreenRequest::default();
    let shown = screen(&user(), &user_of.state, &catalogue, at("29T12:00"), &request);
    assert_eq!(shown.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["last"]);

    let decided = user_of.when(&gift("29T12:00")).outcome.unwrap();
    assert_eq!(decided.events, [progressed("last", day(29), [1, 1, 3], "29T12:00")]);
    assert!(decided.unmoved.iter().all(|u| matches!(u.reason, UnmovedReason::OutsideAudience(_))));
}
