//! Task files know the kinds that are registered, and no others.

use plaudit_domain::catalogue::definition::Kind;
use plaudit_task_file::{SCHEMA, parse};
use serde_json::{Value, json};

#[test]
fn the_schema_names_every_kind_that_is_registered() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let named = &schema["$defs"]["task"]["properties"]["kind"]["enum"];
    assert_eq!(*named, json!(Kind::all().map(Kind::name).collect::<Vec<_>>()));
}

#[test]
fn an_unknown_kind_is_answered_with_those_there_are() {
    let file =
        "tasks: [ { id: a, kind: periodical, every: day, objective: { on: x, target: 1 } } ]";
    let errors = parse(file).unwrap_err();
    let message = &errors[0].message;
    assert!(message.contains("ordinary or periodic or continuous"), "{message}");
    assert!(message.contains("did you mean periodic?"), "{message}");
}
