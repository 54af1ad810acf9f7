//! Whatever compiles is bounded, whatever the data.

use super::generator::{Choices, condition, hostile_data};
use super::*;
use proptest::prelude::*;

fn spent(source: &str, data: &Json) -> (Result<Output, EvaluationError>, (u32, u32)) {
    let filter = Filter::compile(source).unwrap_or_else(|e| panic!("{e}"));
    let action = action(data.clone());
    let attributes = serde_json::Map::new();
    let variables = Variables::new(&action, "UTC", &attributes);
    filter.expression().spent(&variables.values())
}

fn cut_off(source: &str, data: &Json, what: &str) {
    let (result, (steps, bytes)) = spent(source, data);
    assert!(steps <= STEPS_MAX && bytes <= BYTES_MAX, "{source}: {steps} steps, {bytes} bytes");
    match result {
        Err(EvaluationError::Failed(why)) => assert!(why.contains(what), "{source}: {why}"),
        other => panic!("{source}: {other:?}"),
    }
}

#[test]
fn nested_loops_are_cut_off() {
    let source = "data.players.exists(a, data.players.exists(b, a + b == -1))";
    for count in [2_000, 31_000] {
        cut_off(source, &json!({"players": vec![0; count]}), "steps");
    }
    assert!(spent(source, &json!({"players": vec![0; 100]})).0.is_ok());
}

#[test]
fn a_list_that_grows_with_every_element_is_cut_off() {
    let source = "data.l.map(x, data.l + [x]).size() > 0";
    cut_off(source, &json!({"l": vec![0; 9_000]}), "it takes more than");
    let source = "data.l.map(x, data.s + 'x').size() > 0";
    cut_off(source, &json!({"l": vec![0; 300], "s": "x".repeat(40_000)}), "bytes of memory");
}

#[test]
fn a_text_in_nested_loops_is_cut_off() {
    let source = "data.l.map(x, data.l.map(y, data.s)).size() > 0";
    cut_off(source, &json!({"l": vec![0; 3_000], "s": "x".repeat(1_000)}), "it takes more than");
    let source = "data.l.map(x, data.l.map(y, data.s + data.s)).size() > 0";
    cut_off(source, &json!({"l": vec![0; 100], "s": "x".repeat(50_000)}), "it takes more than");
}

#[test]
fn a_pattern_is_compiled_once_and_pays_for_its_text() {
    let source = r"data.s.matches('^[\\p{L}\\p{N}._-]{1,64}@[\\p{L}.]{1,64}$')";
    let (result, (steps, _)) = spent(source, &json!({"s": "someone@example.com"}));
    assert_eq!(result, Ok(Output::Json(json!(true))));
    assert!(steps < 2_000, "{steps}");
    cut_off(source, &json!({"s": "x".repeat(60_000)}), "steps");
    // A small pattern may search any text that an action may hold.
    let long = json!({"s": "x".repeat(60_000)});
    assert_eq!(spent("data.s.matches('ab*c[0-9]+')", &long).0, Ok(Output::Json(json!(false))));
}

#[test]
fn ordinary_rules_stay_far_below_the_budget() {
    let steps = |source: &str, data: Json| spent(source, &data).1.0;
    assert!(steps("data.coins >= 10 && user.zone != 'UTC'", json!({"coins": 10})) < 12);
    let members: Vec<Json> = (0..1_000).map(|n| json!({"id": n, "role": "guest"})).collect();
    let source = "data.members.exists(m, m.id == 5000 && m.role == 'host')";
    assert!(steps(source, json!({"members": members})) < 20_000);
    // One loop over all the elements that an action can have.
    let source = "data.l.exists(x, x == 7)";
    assert!(spent(source, &json!({"l": vec![0; 32_000]})).0.is_ok());
}

#[test]
fn a_budget_that_is_used_up_is_absorbed_by_nothing() {
    let endless = "data.l.exists(a, data.l.exists(b, a + b == -1))";
    let data = json!({"l": vec![0; 5_000], "yes": true});
    for source in [
        format!("{endless} || data.yes"),
        format!("data.yes && {endless}"),
        format!("!({endless} && !data.yes)"),
        format!("data.l.exists(x, {} || x == 1)", "data.l.exists(b, b == -1)"),
    ] {
        cut_off(&source, &data, "steps");
    }
}

#[test]
fn what_a_mapping_gives_is_part_of_its_budget() {
    let large = json!({"text": "x".repeat(9_000_000), "zeros": vec![0; 400_000]});
    for source in ["data", "data.text", "{'a': data.zeros}", "[data.text]", "data.zeros.map(x, x)"]
    {
        let expression = Expression::compile(source, &["data"]).unwrap();
        let (result, _) = expression.spent(&[Variable::Json(&large)]);
        assert!(matches!(result, Err(EvaluationError::Failed(_))), "{source}");
    }
    let mut deep = json!(1);
    for _ in 0..120 {
        deep = json!([deep]);
    }
    assert!(output("[data]", &deep).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// No expression that compiles exceeds its budget or panics, even on the worst of data.
    #[test]
    fn whatever_compiles_is_bounded(choices in prop::collection::vec(any::<u8>(), 8..60), shape in 0u8..6) {
        let source = condition(&mut Choices::new(&choices));
        let data = hostile_data(shape);
        // Proptest fails if most of the sources are refused.
        let compiled = Filter::compile(&source);
        prop_assume!(compiled.is_ok());
        let filter = compiled.unwrap();
        let action = action(data);
        let attributes = json!({"l": vec![0; 2_000]});
        let variables = Variables::new(&action, "UTC", attributes.as_object().unwrap());
        let (_, (steps, bytes)) = filter.expression().spent(&variables.values());
        prop_assert!(steps <= STEPS_MAX && bytes <= BYTES_MAX, "{source}");
    }
}
