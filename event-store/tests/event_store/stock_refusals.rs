//! The database check on events appended by stock code: this program can read every event that it
//! accepts. Changes each golden event in every place in many ways, and compares the check with the
//! reader.

use std::path::Path;

use plaudit_event_store::upcasters;
use serde_json::{Map, Value};
use sqlx::PgPool;

use crate::support::{Store, TASKS};

/// A placeholder for the part to replace. No golden event contains it.
const PLACE: &str = "the part that is replaced";

/// JSON values to insert. Most are wrong anywhere, some only in some places.
const VALUES: &[&str] = &[
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e2",
    "1e400",
    "-1e400",
    "4294967296",
    "9223372036854775808",
    "\"\"",
    "\"x\"",
    r#""\ud800""#,
    r#""\u0000""#,
    "{}",
    "[]",
    "[null]",
    "[{}]",
    r#"{"x": 1}"#,
    r#"{"x": 1, "x": 1}"#,
    r#"{"x": [1e400]}"#,
    r#"{"x": "\udc00"}"#,
    "\"2026-03-29T24:00:00Z\"",
    "\"2026-03-29T23:59:60Z\"",
    "\"2026-03-29T23:60:00Z\"",
    "\"2026-02-30T10:00:00Z\"",
    "\"2026-03-29 10:00:00Z\"",
    "\"2026-03-29T10:00:00\"",
    "\"2026-03-29T10:00:00+15:59\"",
    "\"2026-03-29T10:00:00+01:60\"",
    "\"2026-03-29T10:00:00-00:00\"",
    "\"0000-01-01T00:00:00Z\"",
    "\"0001-01-01T00:00:00+15:00\"",
    "\"9999-12-31T23:59:59Z\"",
    "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"",
    "\"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}\"",
    "\"a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11\"",
];

/// An event as stored.
struct Stored {
    event_type: String,
    version: String,
    payload: String,
}

impl Stored {
    fn golden() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let event = |path: std::path::PathBuf| {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let (event_type, version) = stem.split_once('.').unwrap();
            Self {
                event_type: event_type.to_owned(),
                version: version.to_owned(),
                payload: std::fs::read_to_string(&path).unwrap(),
            }
        };
        files.map(event).collect()
    }

    fn with(&self, payload: String) -> Self {
        Self { event_type: self.event_type.clone(), version: self.version.clone(), payload }
    }

    /// Returns variants of the event with each part replaced, removed, duplicated, or extended.
    fn changed(&self) -> Vec<Self> {
        let whole: Value = serde_json::from_str(&self.payload).unwrap();
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let values: Vec<String> =
            VALUES.iter().map(|text| (*text).to_owned()).chain([deep(200), deep(126)]).collect();
        let mut changed = Vec::new();
        for pointer in pointers(&whole) {
            let mut with_place = whole.clone();
            let part = with_place.pointer_mut(&pointer).unwrap();
            let before = std::mem::replace(part, PLACE.into());
            let text = with_place.to_string();
            let replaced = |by: &str| text.replace(&format!("\"{PLACE}\""), by);
            changed.extend(values.iter().map(|value| self.with(replaced(value))));
            if let Value::Object(fields) = before {
                changed.extend(altered(&fields).iter().map(|by| self.with(replaced(by))));
            }
        }
        changed
    }

    fn is_read(&self) -> bool {
        upcasters::read(&self.event_type, &self.version, &self.payload).is_ok()
    }
}

/// An object with one field removed, with one duplicated, and with one added.
fn altered(fields: &Map<String, Value>) -> Vec<String> {
    let whole = Value::Object(fields.clone()).to_string();
    let more = |name: &str, value: &Value| {
        let comma = if fields.is_empty() { "" } else { "," };
        format!("{}{comma}{}:{value}}}", &whole[..whole.len() - 1], Value::from(name))
    };
    let without = fields.keys().map(|name| {
        let mut fields = fields.clone();
        fields.remove(name);
        Value::Object(fields).to_string()
    });
    let twice = fields.iter().map(|(name, value)| more(name, value));
    without.chain(twice).chain([more("another", &1.into())]).collect()
}

/// The JSON pointers of all parts of a value, including itself.
fn pointers(value: &Value) -> Vec<String> {
    let parts: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, part)| (name.clone(), part)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(n, part)| (n.to_string(), part)).collect()
        }
        _ => vec![],
    };
    let below = parts.into_iter().flat_map(|(name, part)| {
        let name = name.replace('~', "~0").replace('/', "~1");
        pointers(part).into_iter().map(move |rest| format!("/{name}{rest}"))
    });
    std::iter::once(String::new()).chain(below).collect()
}

/// Returns the fault that the database finds in each event, if any.
async fn faults(events: &[Stored], pool: &PgPool) -> Vec<Option<String>> {
    let column = |of: fn(&Stored) -> &str| events.iter().map(of).collect::<Vec<_>>();
    sqlx::query_scalar(
        "select plaudit_event_fault(t, v, p::json)
         from unnest($1::text[], $2::text[], $3::text[]) with ordinality e (t, v, p, n) order by n",
    )
    .bind(column(|e| &e.event_type))
    .bind(column(|e| &e.version))
    .bind(column(|e| &e.payload))
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn whatever_the_check_of_stock_appends_accepts_can_be_read() {
    let store = Store::with_tasks(TASKS).await;
    let golden = Stored::golden();
    let changed: Vec<Stored> = golden.iter().flat_map(Stored::changed).collect();
    for (event, fault) in golden.iter().zip(faults(&golden, &store.pool).await) {
        assert_eq!(fault, None, "{}", event.payload);
    }
    let (mut accepted, mut wrong) = (0, Vec::new());
    for (event, fault) in changed.iter().zip(faults(&changed, &store.pool).await) {
        accepted += u32::from(fault.is_none());
        if fault.is_none() && !event.is_read() {
            wrong.push(format!("{} {}", event.event_type, event.payload));
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), changed.len());
    assert!(accepted > 500, "only {accepted} of {} are accepted", changed.len());
}

/// Appends by stock code through the view, each with the part of the error that names its fault.
const APPENDS: &[(&str, &str, &str, &str)] = &[
    (
        "u1",
        r#"{"type": "user_updated", "at": "2026-03-29T10:00:00Z", "at": "2026-03-29T10:00:00Z"}"#,
        "{}",
        "a name twice",
    ),
    (
        "u1",
        r#"{"type": "user_updated", "at": "2026-03-29T10:00:00Z", "attributes": {"x": 1e400}}"#,
        "{}",
        "a number beyond",
    ),
    (
        "u1",
        r#"{"type": "user_updated", "at": "2026-03-29T24:00:00Z"}"#,
        "{}",
        "not of the shape \"instant\"",
    ),
    (
        "u1",
        r#"{"type": "user_updated", "at": "2026-03-29T10:00:00Z"}"#,
        r#"{"x": "\ud800"}"#,
        "`metadata`",
    ),
    (
        "u1",
        r#"{"type": "user_updated", "at": "2026-03-29T10:00:00Z"}"#,
        r#"{"x": 1}"#,
        "flat object of strings",
    ),
    (
        "u\u{85}1",
        r#"{"type": "user_updated", "at": "2026-03-29T10:00:00Z"}"#,
        "{}",
        "control characters",
    ),
];

#[tokio::test]
async fn the_view_refuses_what_no_program_can_read() {
    let store = Store::with_tasks(TASKS).await;
    let append = async |user: &str, payload: &str, metadata: &str| {
        let sql = "insert into cqrs_events values ('UserTasks', $1, 1, 'user_updated', '1.0', $2::json, $3::json)";
        sqlx::query(sql).bind(user).bind(payload).bind(metadata).execute(&store.pool).await
    };
    let deep = format!(
        r#"{{"type": "user_updated", "at": "2026-03-29T10:00:00Z", "attributes": {{"x": {}{}}}}}"#,
        "[".repeat(126),
        "]".repeat(126)
    );
    let appends = APPENDS.iter().copied().chain([("u1", deep.as_str(), "{}", "inside each other")]);
    for (user, payload, metadata, why) in appends {
        let refused = append(user, payload, metadata).await.unwrap_err();
        let refused = refused.as_database_error().unwrap();
        assert_eq!(refused.code().as_deref(), Some("23514"), "{payload}");
        assert!(refused.message().contains(why), "{payload}: {refused}");
    }
    let good =
        r#"{"type": "user_updated", "at": "2026-03-29T10:00:00Z", "attributes": {"x": 1e300}}"#;
    append("u1", good, r#"{"cause": "a test"}"#).await.unwrap();
}
