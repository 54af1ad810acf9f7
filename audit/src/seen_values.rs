//! The values that the `where` of a task saw.

use plaudit_domain::action::Action;
use plaudit_domain::catalogue::definition::Audience;
use plaudit_domain::catalogue::{audience_filter, audience_paths};
use plaudit_domain::expression::FieldPath;
use plaudit_domain::ids::UserId;
use plaudit_domain::user_tasks::UserTasks;
use serde_json::{Map, Value, json};

/// Returns the values at the paths of the `where` of an objective; null for one that does not exist.
pub(crate) fn of_action(
    paths: &[FieldPath],
    state: &UserTasks,
    action: &Action,
) -> Map<String, Value> {
    let variables = json!({
        "data": action.data,
        "user": user_fields(&action.user, state),
        "action": {"id": action.id, "source": action.source, "type": action.kind,
            "time": action.occurred_at.to_string()},
    });
    values(paths, &variables)
}

/// Returns the values at the paths of the `where` of an audience; null for one that does not exist.
pub(crate) fn of_user(audience: &Audience, user: &UserId, state: &UserTasks) -> Map<String, Value> {
    let filter = audience.filter.as_deref().map(audience_filter).and_then(Result::ok);
    let paths = filter.as_ref().map(audience_paths).unwrap_or_default();
    values(&paths, &json!({ "user": user_fields(user, state) }))
}

/// The fields of `user`. Those of Plaudit take precedence over attributes of the same name.
fn user_fields(user: &UserId, state: &UserTasks) -> Map<String, Value> {
    let mut fields = state.attributes.clone();
    fields.insert("id".to_owned(), user.as_str().into());
    fields.insert("zone".to_owned(), state.zones.current().into());
    fields
}

fn values(paths: &[FieldPath], variables: &Value) -> Map<String, Value> {
    let value = |path: &FieldPath| path.value_in(variables).cloned().unwrap_or(Value::Null);
    paths.iter().map(|path| (path.to_string(), value(path))).collect()
}

#[cfg(test)]
mod tests {
    use plaudit_domain::expression::Filter;

    use super::*;

    #[test]
    fn each_path_of_a_condition_has_its_value_however_it_is_spelled() {
        let source = "data['room-id'] == 'r1' && data.rooms[1].name.startsWith('data.other') \
                      && has(data.none) && data['coins'] > 1 && user.vip in [data[action.type]]";
        let paths = Filter::compile(source).unwrap().paths();
        let variables = json!({
            "data": { "room-id": "r1", "rooms": [{}, { "name": "b" }], "coins": 5 },
            "user": { "vip": 2 },
            "action": { "type": "gift.sent" },
        });
        let expected = json!({
            "data['room-id']": "r1", "data.rooms[1].name": "b", "data.none": null, "data.coins": 5,
            "user.vip": 2, "action.type": "gift.sent",
        });
        assert_eq!(Value::from(values(&paths, &variables)), expected);
    }
}
