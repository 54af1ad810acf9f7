//! Records in formats other than JSON.

use super::*;

/// Stands in for a schema registry. A record is the byte 0 followed by JSON; `down` has an
/// unavailable schema, anything else an unknown one.
#[derive(Debug)]
struct Prefixed;

impl Decoder for Prefixed {
    fn decode(&self, format: Format, value: &[u8]) -> Result<Value, DecodeError> {
        assert_eq!(format, Format::Avro);
        match value {
            [0, json @ ..] => Ok(serde_json::from_slice(json).unwrap()),
            b"down" => Err(Unavailable("the registry is down".to_owned()).into()),
            _ => Err(DecodeError::Unreadable("schema 7 is not known".to_owned())),
        }
    }
}

fn avro(topic: &str) -> Value {
    let mut entry = entry("user", "value.user");
    (entry["format"], entry["topic"]) = ("avro".into(), topic.into());
    entry
}

fn map(sources: &Sources, value: Option<&[u8]>) -> Result<Vec<Mapped>, Unavailable> {
    sources.map(&RawRecord { topic: "t", value, ..RawRecord::default() })
}

#[test]
fn a_record_that_names_its_schema_is_mapped_as_its_json() {
    let sources = sources(&[avro("t")]).with_decoder(Some(Arc::new(Prefixed)));
    let value = json!({"kind": "formed", "id": 1, "user": "ann", "at": TIME, "team": "x"});
    let value = [b"\0", value.to_string().as_bytes()].concat();
    let actions = actions(map(&sources, Some(&value)).unwrap());
    assert_eq!((actions[0].user.as_str(), actions[0].id.as_str()), ("ann", "1"));
    assert_eq!(sources.needs_registry(), Some(("t", Format::Avro)));
}

#[test]
fn a_schema_that_is_not_known_parks_and_one_that_cant_be_had_waits() {
    let sources = sources(&[avro("t")]).with_decoder(Some(Arc::new(Prefixed)));
    let parked = parked(map(&sources, Some(b"other")).unwrap());
    assert_eq!((parked[0].reason.as_str(), parked[0].repairable), ("schema 7 is not known", false));
    assert_eq!(map(&sources, Some(b"down")).unwrap_err().to_string(), "the registry is down");
}

#[test]
fn without_a_registry_records_wait_for_the_setting() {
    let why = map(&sources(&[avro("t")]), Some(b"x")).unwrap_err().to_string();
    assert!(why.contains("records of t are avro") && why.contains("`schema_registry`"), "{why}");
}

#[test]
fn a_tombstone_needs_no_schema() {
    let mut entry = avro("t");
    entry["when"] = "value != null".into();
    assert!(map(&sources(&[entry]), None).unwrap().is_empty());
}

#[test]
fn all_entries_of_a_topic_have_one_format() {
    let file = |name: &str, entries: &[Value]| SourceFile {
        path: name.into(),
        text: json!({ "sources": entries }).to_string(),
    };
    let files =
        [file("a.json", &[avro("t"), avro("u")]), file("b.json", &[entry("user", "value.user")])];
    let errors = Sources::compile(&files).unwrap_err();
    let [error] = errors.as_slice() else { panic!("{errors:?}") };
    let error = error.to_string();
    assert!(error.starts_with("b.json:1:13: format: is json"), "{error}");
    assert!(error.contains("a.json: sources[0] reads t as avro"), "{error}");
}
