use serde_json::json;

use super::*;
use crate::ids::NAME_BYTES_MAX;

#[test]
fn times_are_cut_to_microseconds() {
    let at = instant("2026-03-29T01:30:00.1234567891234+01:00").unwrap();
    assert_eq!(at.to_string(), "2026-03-29T00:30:00.123456Z");
    assert_eq!(instant("2026-03-29t00:30:00z").unwrap().to_string(), "2026-03-29T00:30:00Z");
    assert_eq!(
        instant("1969-12-31T23:59:59.9999999Z").unwrap().to_string(),
        "1969-12-31T23:59:59.999999Z"
    );
}

#[test]
fn only_rfc_3339_is_a_time() {
    let bad = [
        "",
        "2026-03-29",
        "2026-03-29 01:30:00Z",
        "2026-03-29T01:30Z",
        "2026-03-29T01:30:00",
        "2026-03-29T23:59:60Z",
        "2026-13-29T01:30:00Z",
        "2026-03-29T01:30:00.Z",
        "2026-03-29T01:30:00+0100",
        "2026-03-29T01:30:00Z[UTC]",
        "2026-03-29T24:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-03-29T01:30:00+24:00",
        "1774747800",
        "2026-03-29T01:30:00é",
    ];
    for text in bad {
        assert!(instant(text).is_err(), "{text}");
    }
}

/// An action of user `u` at a fixed time.
fn action(
    (source, id, kind): (&str, &str, &str),
    user: &str,
    data: &Value,
) -> Result<Action, Unreadable> {
    let data = data.as_object().unwrap().clone();
    Action::new(Parts { user, source, id, kind, time: "2026-03-29T01:30:00+01:00", data })
}

#[test]
fn names_and_the_size_of_data_are_bounded() {
    let none = json!({});
    let read = action(("s", "i", "t"), "u", &none).unwrap();
    assert_eq!(read.occurred_at.to_string(), "2026-03-29T00:30:00Z");
    let long = "s".repeat(257);
    let badly_named = [
        action(("s", "i", "t"), "", &none),
        action(("s", "a\u{7}", "t"), "u", &none),
        action((&long, "i", "t"), "u", &none),
    ];
    for refused in badly_named {
        assert!(matches!(refused, Err(Unreadable::Name(_))), "{refused:?}");
    }
    let large = json!({"text": "x".repeat(DATA_BYTES_MAX)});
    assert_eq!(action(("s", "i", "t"), "u", &large), Err(Unreadable::DataTooLarge));
}

#[test]
fn an_action_is_written_as_a_cloud_event() {
    let read = action(("/gifts", "g-1", "gift.sent"), "u42", &json!({"coins": 50})).unwrap();
    let written: Value = serde_json::from_str(&read.to_cloud_event().to_json()).unwrap();
    let expected = json!({
        "specversion": "1.0", "source": "/gifts", "id": "g-1", "type": "gift.sent", "subject": "u42",
        "time": "2026-03-29T00:30:00Z", "datacontenttype": "application/json", "data": {"coins": 50},
    });
    assert_eq!(written, expected);
}

#[test]
fn a_reversal_of_a_name_that_no_action_can_have_names_none() {
    let reversed = |data: Value| {
        let read = action(("s", "i", ACTION_REVERSED), "u", &data).unwrap();
        let ActionBody::Reversal(reversal) = read.body() else { panic!("{read:?}") };
        reversal.target.clone()
    };
    let (longest, longer) = ("i".repeat(NAME_BYTES_MAX), "i".repeat(300));
    assert!(reversed(json!({ "source": "s", "id": longest })).is_named());
    for (source, id) in [("s", longer.as_str()), (longer.as_str(), "i"), ("s", "a\u{7}")] {
        let target = reversed(json!({ "source": source, "id": id }));
        assert!(!target.is_named(), "{target:?}");
    }
    assert!(!reversed(json!({ "source": "s", "id": 7 })).is_named());
}

/// Payers and producers may send any character; PostgreSQL can't hold NUL, and a terminal obeys
/// escape sequences.
#[test]
fn control_characters_of_payers_and_producers_are_replaced() {
    let data = json!({
        "grant": "a\0b", "reason": "no\0 \u{1b}[2J\nsorry", "source": "/s", "id": "1",
    });
    let body = |kind| action(("s", "i", kind), "u", &data).unwrap().body().clone();
    let ActionBody::Acknowledgement(failed) = body(REWARD_FAILED) else { panic!("it is one") };
    assert_eq!(failed.grant, "a\u{fffd}b");
    let reason = "no\u{fffd} \u{fffd}[2J sorry".to_owned();
    assert_eq!(failed.verdict, Verdict::Failed { reason: reason.clone() });
    let ActionBody::Reversal(reversal) = body(ACTION_REVERSED) else { panic!("it is one") };
    assert_eq!(reversal.reason, reason);
    let nested = json!({ "grant": { "\0": 1 }, "reason": ["\0"] });
    let ActionBody::Acknowledgement(failed) =
        action(("s", "i", REWARD_FAILED), "u", &nested).unwrap().body().clone()
    else {
        panic!("it is one")
    };
    assert!(!format!("{failed:?}").contains('\0'), "{failed:?}");
}
