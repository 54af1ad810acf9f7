mod bounds;
mod differential;
mod generator;
mod measurements;
mod refusals;
mod semantics;

use super::*;
use crate::action::{Action, Parts};
use serde_json::{Value as Json, json};

#[expect(clippy::needless_pass_by_value, reason = "every caller makes it on the spot")]
fn action(data: Json) -> Action {
    let data = data.as_object().unwrap().clone();
    let (source, id, kind, time) = ("/s", "1", "gift.sent", "2026-03-29T01:30:00.25Z");
    Action::new(Parts { user: "u", source, id, kind, time, data }).unwrap()
}

fn holds(source: &str, data: Json) -> Result<bool, EvaluationError> {
    let attributes = json!({"segments": ["vip"], "id": "hidden", "level": 3});
    let action = action(data);
    let variables = Variables::new(&action, "Europe/Paris", attributes.as_object().unwrap());
    Filter::compile(source).unwrap_or_else(|e| panic!("{e}")).matches(&variables)
}

/// Evaluates an expression over `data` as a mapping does.
fn output(source: &str, data: &Json) -> Result<Output, EvaluationError> {
    let expression = Expression::compile(source, &["data"]).unwrap_or_else(|e| panic!("{e}"));
    expression.evaluate(&[Variable::Json(data)])
}

fn refusal(source: &str) -> String {
    match Filter::compile(source) {
        Ok(_) => panic!("{source} is accepted"),
        Err(e) => e.to_string(),
    }
}

fn failed(result: Result<bool, EvaluationError>) -> String {
    match result {
        Err(EvaluationError::Failed(why)) => why,
        other => panic!("{other:?}"),
    }
}
