use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::record::OwnedRecord;

mod cloud_events;
mod files;
mod mappings;

const TIME: &str = "2026-03-29T01:30:00Z";

fn event() -> Value {
    json!({"specversion":"1.0","source":"/gifts","id":"g-1","type":"gift.sent","subject":"u42",
        "time":"2026-03-29T01:30:00+01:00","data":{"coins":50}})
}

fn record<'a>(headers: &[(&'a str, &'a str)], value: Option<&'a [u8]>) -> RawRecord<'a> {
    let headers = headers.iter().map(|(n, v)| (*n, Some(v.as_bytes()))).collect();
    RawRecord { topic: "actions", headers, value, ..RawRecord::default() }
}

/// What a topic without a source file makes of a record: an action, or why not.
fn read(headers: &[(&str, &str)], value: Option<&[u8]>) -> Result<Action, String> {
    match Sources::default().read(&record(headers, value)).remove(0) {
        Reading::Action(action) => Ok(action),
        Reading::SetAside(set_aside) => {
            assert_eq!((&set_aside.user, set_aside.repairable), (&None, false));
            Err(set_aside.reason)
        }
    }
}

/// A folder of one's own.
fn tempfile_dir(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("plaudit-sources-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}
