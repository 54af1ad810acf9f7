//! Decoding values of each format.

use std::collections::BTreeMap;

use plaudit_actions::formats::{DecodeError, Format};
use serde_json::{Value, json};

use crate::recorded::{Answer, Recorded, decode, registry, unhex, value};

/// Written by `fastavro` 1: a record with an enum, an array of records, a timestamp, a decimal,
/// unions, a map, a type of another subject and a type by its name.
const TEAM: &str = "0000000002046531000482808080808080200206416e6e0e0000f6c8b2f3a66704fb32020a5061726973\
                    0002086c616e6704667200020e00";
/// Written by Google's Protobuf for Python: the second message of its file, with an imported one,
/// nested ones, a timestamp and an enum.
const ORDER: &str = "000000000402020881808080808080101203616e6e1a0308872722050a016110022a0b089881a2ce06\
                     10c0a9d33a3001";
/// A message within the second message: `Order.Line`.
const LINE: &str = "00000000040402000a0162";
/// The first message of the file, whose index has a short form.
const UNRELATED: &str = "0000000004000a0178";

async fn decoded(format: Format, bytes: &[u8]) -> Result<Value, String> {
    let recorded = Recorded::start().await;
    decode(&registry(&recorded.url), format, bytes).await.map_err(|error| match error {
        DecodeError::Unreadable(why) => why,
        DecodeError::Unavailable(why) => panic!("{why}"),
    })
}

#[tokio::test]
async fn an_avro_record_is_its_fields() {
    let expected = json!({
        "event_id": "e1", "kind": "formed",
        "members": [{"uid": 9_007_199_254_740_993_i64, "nick": "Ann"}, {"uid": 7, "nick": null}],
        "at": 1_774_747_800_123_i64, "fee": "-12.30", "place": {"city": "Paris", "zip": null},
        "labels": {"lang": "fr"}, "captain": {"uid": 7, "nick": null},
    });
    assert_eq!(decoded(Format::Avro, &unhex(TEAM)).await, Ok(expected));
}

#[tokio::test]
async fn a_schema_that_is_referred_to_twice_is_found_in_any_order() {
    let record = |name: &str, fields: &[(&str, &str)]| {
        let fields: Vec<_> = fields.iter().map(|(n, t)| json!({"name": n, "type": t})).collect();
        json!({"type": "record", "name": name, "namespace": "game", "fields": fields}).to_string()
    };
    let named = |name: &str| json!({"name": format!("game.{name}"), "subject": name, "version": 1});
    let answer = |schema: &str, references: &[Value]| Answer {
        status: 200,
        body: json!({"schema": schema, "schemaType": "AVRO", "references": references}).to_string(),
    };
    let round = record("Round", &[("score", "game.Score"), ("best", "game.Best")]);
    let best = record("Best", &[("score", "game.Score")]);
    let score = record("Score", &[("points", "int")]);
    for order in [["Score", "Best"], ["Best", "Score"]] {
        let answers = BTreeMap::from([
            ("/schemas/ids/1".to_owned(), answer(&round, &order.map(named))),
            ("/subjects/Best/versions/1".to_owned(), answer(&best, &[named("Score")])),
            ("/subjects/Score/versions/1".to_owned(), answer(&score, &[])),
        ]);
        let recorded = Recorded::answering(answers, "127.0.0.1:0").await;
        let decoded = decode(&registry(&recorded.url), Format::Avro, &value(1, &[2, 4])).await;
        let expected = json!({"score": {"points": 1}, "best": {"score": {"points": 2}}});
        assert_eq!(decoded, Ok(expected), "{order:?}");
        assert_eq!(recorded.asked_for("/subjects/Score/versions/1"), 1);
    }
}

#[tokio::test]
async fn a_protobuf_message_has_the_names_of_its_file_and_its_defaults() {
    let expected = json!({
        "order_id": 9_007_199_254_740_993_i64, "user": "ann",
        "total": {"cents": 4999, "currency": ""}, "lines": [{"sku": "a", "count": 2}],
        "paid_at": "2026-03-29T01:30:00.123Z", "state": "PAID",
    });
    assert_eq!(decoded(Format::Protobuf, &unhex(ORDER)).await.unwrap(), expected);
    // The serializer for Python registers the compiled file instead of its text.
    let compiled = value(10, &unhex(ORDER)[5..]);
    assert_eq!(decoded(Format::Protobuf, &compiled).await.unwrap(), expected);
    let line = decoded(Format::Protobuf, &unhex(LINE)).await;
    assert_eq!(line, Ok(json!({"sku": "b", "count": 0})));
    let first = decoded(Format::Protobuf, &unhex(UNRELATED)).await;
    assert_eq!(first, Ok(json!({"a": "x"})));
}

#[tokio::test]
async fn a_json_value_is_checked_by_its_schema_and_those_it_refers_to() {
    let good = json!({"id": "m1", "score": 3});
    let of = |json: &Value| value(6, json.to_string().as_bytes());
    assert_eq!(decoded(Format::JsonSchema, &of(&good)).await, Ok(good));
    let why =
        decoded(Format::JsonSchema, &of(&json!({"id": "m1", "score": -3}))).await.unwrap_err();
    assert!(why.contains("schema 6") && why.contains("\"/score\""), "{why}");
    let why = decoded(Format::JsonSchema, &value(6, b"{")).await.unwrap_err();
    assert!(why.contains("not valid JSON"), "{why}");
}

#[tokio::test]
async fn what_cant_be_decoded_is_unreadable_with_its_reason() {
    for (format, bytes, expected) in [
        (Format::Avro, value(4711, b"x"), "schema 4711 of http://127.0.0.1"),
        (Format::Avro, value(4711, b"x"), "the registry does not know it"),
        (Format::Protobuf, unhex(TEAM), "it is a schema of the format avro, not protobuf"),
        (Format::Avro, b"{}".to_vec(), "does not begin with the number of its schema"),
        (Format::Avro, value(2, b"\x04"), "can't be decoded by schema 2"),
        (Format::Avro, [unhex(TEAM), vec![1, 2]].concat(), "2 bytes follow the value"),
        (Format::Protobuf, value(4, &[4, 2, 8]), "it has no message [1, 4]"),
    ] {
        let why = decoded(format, &bytes).await.unwrap_err();
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

/// Anybody may register a schema; none may end the process.
#[tokio::test]
async fn rule_23_no_schema_overflows_the_stack() {
    let list = json!({"type": "record", "name": "List",
        "fields": [{"name": "next", "type": ["null", "List"]}]});
    let answer = |schema: &Value, kind: &str| Answer {
        status: 200,
        body: json!({"schema": schema.to_string(), "schemaType": kind}).to_string(),
    };
    let answers = BTreeMap::from([
        ("/schemas/ids/1".to_owned(), answer(&list, "AVRO")),
        ("/schemas/ids/2".to_owned(), answer(&json!({"$ref": "#"}), "JSON")),
        ("/schemas/ids/3".to_owned(), answer(&json!({"type": "recrod"}), "AVRO")),
        ("/schemas/ids/4".to_owned(), answer(&json!({}), "XML")),
    ]);
    let recorded = Recorded::answering(answers, "127.0.0.1:0").await;
    let registry = registry(&recorded.url);
    let short = decode(&registry, Format::Avro, &value(1, &[2, 2, 0])).await.unwrap();
    assert_eq!(short, json!({"next": {"next": {"next": null}}}));
    let deep = decode(&registry, Format::Avro, &value(1, &vec![2; 900_000])).await;
    assert!(matches!(deep, Err(DecodeError::Unreadable(_))), "{deep:?}");
    let endless = decode(&registry, Format::JsonSchema, &value(2, b"{}")).await;
    assert!(!matches!(endless, Err(DecodeError::Unavailable(_))), "{endless:?}");
    for (id, expected) in [(3, "can't be compiled"), (4, "does not know the schema type XML")] {
        let refused = decode(&registry, Format::Avro, &value(id, b"")).await.unwrap_err();
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}
