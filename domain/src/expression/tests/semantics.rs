//! The meaning of expressions.

use super::*;

#[test]
fn a_where_sees_the_data_the_action_and_the_user() {
    for (source, data) in [
        ("data.coins >= 10", json!({"coins": 10})),
        ("data.coins + 1 == 11", json!({"coins": 10})),
        ("data.coins + 1 == 11", json!({"coins": 10.0})),
        ("data.coins % 2 == 0", json!({"coins": 1e3})),
        ("action.type == 'gift.sent' && user.id == 'u'", json!({})),
        ("'vip' in user.segments && user.zone == 'Europe/Paris'", json!({})),
        ("action.time < timestamp('9999-12-31T23:59:59Z')", json!({})),
        ("action.time.getHours('Europe/Paris') == 3", json!({})),
        ("action.time.getMilliseconds() == 250 && action.time.getDayOfWeek() == 0", json!({})),
        ("data.tags.exists(t, t == 'a')", json!({"tags": ["a"]})),
        ("!has(data.room) && has(user.level) && has(action.time)", json!({})),
        ("user['level'] == 3 && size(user) == 4 && 'zone' in user", json!({})),
        ("data['odd name'] == 1", json!({"odd name": 1})),
        ("data.name.matches('^[a-z]+$')", json!({"name": "abc"})),
        ("type(data.n) == int && type(action.time) == google.protobuf.Timestamp", json!({"n": 1})),
    ] {
        assert_eq!(holds(source, data), Ok(true), "{source}");
    }
    assert_eq!(holds("data.coins >= 10", json!({"coins": 9.5})), Ok(false));
}

#[test]
fn a_missing_field_differs_from_a_failure() {
    let missing = |source: &str, data: Json| {
        let result = holds(source, data);
        assert!(matches!(result, Err(EvaluationError::Missing(_))), "{source}: {result:?}");
    };
    missing("data.coins >= 10", json!({}));
    missing("data.room.id == 1", json!({}));
    missing("data['coins'] >= 10", json!({}));
    missing("data.l[3] == 1", json!({"l": [1]}));
    missing("user.age > 18", json!({}));
    missing("!(data.coins >= 10)", json!({}));
    missing("has(data.room.id)", json!({}));
    missing("data.l.exists(x, x.a == 1)", json!({"l": [{"b": 1}]}));
    missing("data.a > 1 || data.b > 1", json!({"b": 0}));
    let wrong = json!({"coins": "ten", "l": [{"a": 1}, 5], "room": null});
    for source in [
        "data.coins >= 10",
        "data.coins",
        "data.coins && true",
        "data.l.exists(x, x.a == 2)",
        "data.room.id == 1",
        "data.nothing > 1 || data.coins > 1",
        "data.coins > 1 || data.nothing > 1",
    ] {
        failed(holds(source, wrong.clone()));
    }
}

#[test]
fn what_decides_does_so_whatever_the_other_side_gives() {
    for (source, expected) in [
        ("data.none || data.yes", true),
        ("data.yes || data.none", true),
        ("data.none && !data.yes", false),
        ("has(data.none) && data.none > 1", false),
        ("!has(data.none) || data.none > 1", true),
        ("has(data.none) ? data.none > 1 : data.yes", true),
        ("data.l.exists(x, 10 / x == 5)", true),
        ("data.l.all(x, 10 / x == 9)", false),
    ] {
        assert_eq!(holds(source, json!({"yes": true, "l": [0, 2]})), Ok(expected), "{source}");
    }
}

#[test]
fn arithmetic_never_wraps() {
    let data = json!({"max": i64::MAX, "min": i64::MIN, "zero": 0, "one": 1});
    for source in [
        "data.max + data.one > 0",
        "data.min - data.one > 0",
        "data.max * 2 > 0",
        "-data.min > 0",
        "data.min / -data.one > 0",
        "data.min % -data.one > 0",
        "int(9223372036854775808.0 * double(data.one)) > 0",
        "uint(-data.one) > 0u",
    ] {
        assert!(failed(holds(source, data.clone())).contains("goes beyond"), "{source}");
    }
    for source in ["1 / data.zero > 0", "1 % data.zero > 0", "1u / uint(data.zero) > 0u"] {
        assert!(failed(holds(source, data.clone())).contains("division by zero"), "{source}");
    }
}

/// `9007199254740993.0` is read as `…992`: no value is better than a wrong one.
#[test]
fn a_number_whose_digits_were_lost_is_not_taken() {
    let action = |coins: &str| {
        let data = serde_json::from_str(&format!(r#"{{"coins":{coins}}}"#));
        super::action(data.unwrap())
    };
    let holds = |source: &str, coins: &str| {
        let (action, attributes) = (action(coins), serde_json::Map::new());
        Filter::compile(source).unwrap().matches(&Variables::new(&action, "UTC", &attributes))
    };
    assert_eq!(holds("data.coins == 9007199254740993", "9007199254740993"), Ok(true));
    assert_eq!(holds("data.coins == 9007199254740991", "9007199254740991.0"), Ok(true));
    for coins in ["9007199254740993.0", "9007199254740993e0", "-9007199254740993.0"] {
        assert!(failed(holds("data.coins > 0", coins)).contains("2^53"), "{coins}");
        assert_eq!(holds("has(data.coins)", coins), Ok(true));
    }
    assert_eq!(holds("data.coins > 1.0", "1e300"), Ok(true));
    assert_eq!(holds("data.coins == 18446744073709551615u", "18446744073709551615"), Ok(true));
}

#[test]
fn numbers_of_different_kinds_compare_exactly() {
    let data = json!({"u": u64::MAX, "big": 9_007_199_254_740_993_i64, "f": 1.5});
    for source in [
        "data.u > -1 && -1 < data.u && data.u > 9223372036854775807",
        "data.f > 1 && data.f < 2 && 1 < data.f && 2u > data.f",
        "data.big > 9007199254740992.0",
        "data.big != 9007199254740992.0",
        "1 == 1.0 && 1u == 1 && 2 in [1.5, 2.0]",
    ] {
        assert_eq!(holds(source, data.clone()), Ok(true), "{source}");
    }
}

#[test]
fn epoch_milliseconds_are_exact() {
    let data = json!({"ms": 1_774_747_800_125_i64, "text": "1774747800125"});
    let at = Output::Instant("2026-03-29T01:30:00.125Z".parse().unwrap());
    for source in [
        "timestamp_ms(data.ms)",
        "timestamp_ms(int(data.text))",
        "timestamp(0) + duration(string(data.ms) + 'ms')",
        "timestamp('2026-03-29T03:30:00.125+02:00')",
    ] {
        assert_eq!(output(source, &data), Ok(at.clone()), "{source}");
    }
    assert_eq!(
        output("string(timestamp_ms(data.ms))", &data),
        Ok(Output::Json(json!("2026-03-29T01:30:00.125Z")))
    );
    assert_eq!(
        output("timestamp_ms(-1)", &data),
        Ok(Output::Instant("1969-12-31T23:59:59.999Z".parse().unwrap()))
    );
}

#[test]
fn results_are_json_or_an_instant() {
    let data = json!({"n": 10.0, "m": {"b": [1, 2.5]}, "s": "x"});
    for (source, expected) in [
        ("data.n", json!(10)),
        ("data.m", json!({"b": [1, 2.5]})),
        (
            "{'a': data.n, 'at': timestamp(0), 'for': duration('90s'), 'raw': b'\\xff', 'm': data.m}",
            json!({"a": 10, "at": "1970-01-01T00:00:00Z", "for": "90s", "raw": "/w==", "m": {"b": [1, 2.5]}}),
        ),
        ("data.m.b.map(x, string(x) + data.s)", json!(["1x", "2.5x"])),
        ("data.m.b.map(x, x > 1, [x])", json!([[2.5]])),
        ("data.m.b.filter(x, x > 1) + [null]", json!([2.5, null])),
        ("{1: 'a', true: 'b'}", json!({"1": "a", "true": "b"})),
    ] {
        assert_eq!(output(source, &data), Ok(Output::Json(expected)), "{source}");
    }
    assert_eq!(output("duration(data.s + '1s')", &json!({"s": ""})), Ok(Output::Other("duration")));
    assert_eq!(output("b'\\xff'", &data), Ok(Output::Other("bytes")));
    assert!(output("0.0 / (double(data.n) - 10.0)", &data).is_err(), "NaN is no JSON");
}

#[test]
fn fields_that_are_not_asked_for_first_are_listed() {
    for (source, expected) in [
        ("data.coins >= 10", &["data.coins"][..]),
        ("has(data.coins) && data.coins >= 10", &[]),
        ("!has(data.coins) || data.coins >= 10", &[]),
        ("has(data.coins) ? data.coins > 1 : data.room.id == 1", &["data.room.id"]),
        ("data.coins > 1 && has(data.coins)", &["data.coins"]),
        ("has(data.room) && data.room.id == 1", &["data.room.id"]),
        ("data.l.exists(x, x.a == data.b) || user.level > 1", &["data.l", "data.b", "user.level"]),
        ("user.id != 'a' && user.zone == 'UTC' && has(user.vip) && user.vip > 1", &[]),
        ("(has(data.a) && has(data.b)) && data.a == data.b", &[]),
    ] {
        assert_eq!(Filter::compile(source).unwrap().unguarded_fields(), expected, "{source}");
    }
}

#[test]
fn all_fields_of_the_data_are_listed_asked_for_or_not() {
    for (source, expected) in [
        ("has(data.coins) && data.coins >= 10", &["data.coins"][..]),
        ("has(data.room.id) || size(data.tags) > 1", &["data.room.id", "data.tags"]),
        ("data.l.exists(x, x.a == data.b[0].c) || user.level > 1", &["data.l", "data.b"]),
        ("action.id == 'a'", &[]),
    ] {
        assert_eq!(Filter::compile(source).unwrap().data_fields(), expected, "{source}");
    }
}
