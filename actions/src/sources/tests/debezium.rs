//! The recipe for change data capture, taken from docs/sources.md.

use super::*;

/// Returns the first YAML block below the recipe's heading.
fn recipe() -> Sources {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sources.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let (_, recipe) = docs.split_once("## Debezium").expect("docs/sources.md has the recipe");
    let (_, block) = recipe.split_once("```yaml\n").unwrap();
    let (text, _) = block.split_once("```").unwrap();
    let file = SourceFile { path: "orders.yaml".into(), text: text.to_owned() };
    Sources::compile(&[file]).unwrap()
}

fn change(op: &str, before: &Value, after: &Value) -> Value {
    json!({"op": op, "before": before, "after": after, "ts_ms": 1_774_747_800_500_i64,
        "source": {"db": "shop", "table": "orders", "lsn": 24_023_128, "snapshot": "false"}})
}

fn row(status: &str) -> Value {
    json!({"id": 1001, "customer_id": 7, "status": status, "total_cents": 4999,
        "updated_at": 1_774_747_800_123_i64})
}

fn map(value: Option<&Value>) -> Vec<Mapped> {
    let text = value.map(ToString::to_string);
    let value = text.as_ref().map(String::as_bytes);
    recipe().map(&RawRecord { topic: "shop.public.orders", value, ..RawRecord::default() }).unwrap()
}

#[test]
fn an_order_that_becomes_paid_is_an_action() {
    for (op, before) in [("u", row("open")), ("c", Value::Null), ("r", Value::Null)] {
        let actions = actions(map(Some(&change(op, &before, &row("paid")))));
        let [action] = actions.as_slice() else { panic!("{op}: {actions:?}") };
        assert_eq!((action.user.as_str(), action.kind.as_str()), ("7", "order.paid"));
        assert_eq!((action.source.as_str(), action.id.as_str()), ("/shop/orders", "1001"));
        assert_eq!(action.occurred_at, "2026-03-29T01:30:00.123Z".parse().unwrap());
        assert_eq!(Value::from(action.data.clone()), json!({"cents": 4999}));
    }
}

#[test]
fn other_changes_deletions_and_tombstones_mean_nothing() {
    assert_eq!(map(Some(&change("u", &row("open"), &row("shipped")))), []);
    assert_eq!(map(Some(&change("u", &row("paid"), &row("paid")))), []);
    assert_eq!(map(Some(&change("d", &row("paid"), &Value::Null))), []);
    assert_eq!(map(Some(&json!({"op": "t", "ts_ms": 1, "source": {}}))), []);
    assert_eq!(map(None), []);
}
