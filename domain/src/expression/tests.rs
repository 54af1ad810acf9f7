mod bounds;
mod differential;
mod generator;
mod measurements;
mod refusals;
mod semantics;

use super::*;
use crate::action::Action;
use serde_json::{Value as Json, json};

#[expect(clippy::needless_pass_by_value, reason = "every caller makes it on the spot")]
fn action(data: Json) -> Action {
    let event = json!({"specversion":"1.0","source":"/s","id":"1","type":"gift.sent","subject":"u",
        "time":"2026-03-29T01:30:00.25Z","data":data});
    Action::from_structured(event.to_string().as_bytes()).unwrap()
}

fn holds(source: &str, data: Json) -> Result<bool, EvaluationError> {
    let attributes = json!({"segments": ["vip"], "id": "hidden", "level": 3});
    let action = action(data);
    let variables = Variables::new(&action, "Europe/Paris", attributes.as_object().unwrap());
    Filter::compile(source).unwrap_or_else(|e| panic!("{e}")).matches(&variables)
}

/// What an expression over `data` gives as a mapping.
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
