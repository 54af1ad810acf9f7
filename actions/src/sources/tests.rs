use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::record::OwnedRecord;

mod debezium;
mod each;
mod files;
mod formats;
mod mappings;

const TIME: &str = "2026-03-29T01:30:00Z";

fn parse(file: &Path, text: &str) -> Result<Vec<Mapping>, Vec<SourceError>> {
    file::parse(file, text, &mut PatternTotal::default())
}

fn event() -> Value {
    json!({"specversion":"1.0","source":"/gifts","id":"g-1","type":"gift.sent","subject":"u42",
        "time":"2026-03-29T01:30:00+01:00","data":{"coins":50}})
}

/// Returns an entry for the topic `t` with one field of its action replaced.
fn entry(field: &str, expression: &str) -> Value {
    let mut action = json!({"id": "value.id", "source": "'/teams'", "type": "'team.formed'",
        "user": "value.users", "time": "timestamp(value.at)", "data": "{'team': value.team}"});
    action[field] = expression.into();
    json!({"topic": "t", "when": "value.kind == 'formed'", "action": action})
}

fn sources(entries: &[Value]) -> Sources {
    let text = json!({ "sources": entries }).to_string();
    Sources::compile(&[SourceFile { path: "dir/teams.yaml".into(), text }]).unwrap()
}

fn map_value(sources: &Sources, value: &Value) -> Vec<Mapped> {
    let text = value.to_string();
    let record = RawRecord { topic: "t", value: Some(text.as_bytes()), ..RawRecord::default() };
    sources.map(&record).unwrap()
}

fn actions(mapped: Vec<Mapped>) -> Vec<Action> {
    let action = |mapped| match mapped {
        Mapped::Action(action) => action,
        Mapped::Park(park) => panic!("{park:?}"),
    };
    mapped.into_iter().map(action).collect()
}

fn parked(mapped: Vec<Mapped>) -> Vec<ParkReason> {
    let park = |mapped| match mapped {
        Mapped::Park(park) => park,
        Mapped::Action(action) => panic!("{action:?}"),
    };
    mapped.into_iter().map(park).collect()
}

/// Creates a folder for one test.
fn tempfile_dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("plaudit-sources-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn a_reason_is_one_short_line() {
    let headers = vec![("content-type", Some(&b"a\nb"[..]))];
    let long = [b"{\"specversion\":\"1.0\",\"".as_slice(), &b"x\n".repeat(5000)].concat();
    for record in [
        RawRecord { headers, value: Some(b"{}"), ..RawRecord::default() },
        RawRecord { value: Some(&long), ..RawRecord::default() },
    ] {
        let parked = parked(Sources::default().map(&record).unwrap()).remove(0);
        assert_eq!((&parked.user, parked.repairable), (&None, false));
        let why = parked.reason;
        assert!(why.chars().count() <= REASON_CHARS_MAX && !why.contains('\n'), "{why}");
    }
    assert_eq!(one_line("four", 4), "four");
    assert_eq!(one_line("fi\nve5", 4), "fi …");
}
