//! One element of a request: an action, or something that is not a valid one.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use plaudit_domain::action::{self, Action, Unreadable};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_event_store::{ParkedRecord, Work};
use serde_json::{Map, Value, json};

use crate::input::{decode_segment, media_type};
use crate::problem::{Answer, InputError};

/// One element. Its identity is known even if it is not a valid action.
#[derive(Debug)]
pub struct Element {
    /// Its `source`, if it has one.
    pub source: Option<String>,
    /// Its `id`, if it has one.
    pub id: Option<String>,
    subject: Option<String>,
    action: Result<Action, Unreadable>,
    /// The headers that a Kafka record would have, so that it can be read again in the same way.
    headers: Value,
    bytes: Vec<u8>,
}

impl Element {
    /// From JSON.
    pub fn structured(json: &str) -> Self {
        let text =
            |event: &Value, name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
        let event: Option<Value> = serde_json::from_str(json).ok();
        let known = |name| event.as_ref().and_then(|event| text(event, name));
        Self {
            source: known("source"),
            id: known("id"),
            subject: known("subject"),
            action: Action::from_structured(json.as_bytes()),
            headers: json!({"content-type": "application/cloudevents+json"}),
            bytes: json.as_bytes().to_vec(),
        }
    }

    /// From `ce-` headers and a body that is `data`.
    ///
    /// # Source
    ///
    /// `CloudEvents` HTTP protocol binding 1.0.2, section 3.1.
    pub fn binary(headers: &HeaderMap, body: &Bytes) -> Answer<Self> {
        let data: Option<Value> = if body.iter().all(u8::is_ascii_whitespace) {
            None
        } else {
            Some(
                serde_json::from_slice(body)
                    .map_err(|e| InputError::body("", format!("not valid JSON: {e}")))?,
            )
        };
        let attribute = |name: &str| headers.get(format!("ce-{name}")).and_then(decoded);
        let attributes = Attributes {
            specversion: attribute("specversion"),
            source: attribute("source"),
            id: attribute("id"),
            kind: attribute("type"),
            subject: attribute("subject"),
            time: attribute("time"),
        };
        let as_record = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix("ce-")?;
            let as_sent = || String::from_utf8_lossy(value.as_bytes()).into_owned();
            Some((format!("ce_{name}"), decoded(value).unwrap_or_else(as_sent).into()))
        });
        let mut record: Map<String, Value> = as_record.collect();
        let media_type = media_type(headers).unwrap_or_else(|| "application/json".to_owned());
        record.insert("content-type".to_owned(), media_type.into());
        Ok(Self {
            action: attributes.action(data),
            source: attributes.source,
            id: attributes.id,
            subject: attributes.subject,
            headers: Value::Object(record),
            bytes: body.to_vec(),
        })
    }

    /// The work that it causes, and its lane. An action that occurred after `latest` is from the future and
    /// is parked.
    pub fn work(&self, latest: Timestamp, lane_count: LaneCount) -> (Lane, Work) {
        let lane = |key: &str| Lane::of(key, lane_count);
        match &self.action {
            Ok(action) if action.occurred_at > latest => {
                let reason = format!("`time` {} lies in the future", action.occurred_at);
                let record = ParkedRecord::of_action(action, &reason, false);
                let as_sent = ParkedRecord {
                    headers: self.headers.clone(),
                    bytes: self.bytes.clone(),
                    ..record
                };
                (lane(action.user.as_str()), Work::Park(as_sent))
            }
            Ok(action) => (lane(action.user.as_str()), Work::Action(action.clone())),
            Err(unreadable) => {
                let record = self.parked(unreadable);
                let key =
                    record.user.as_ref().map_or_else(|| record.id.to_string(), UserId::to_string);
                (lane(&key), Work::Park(record))
            }
        }
    }

    /// The record to park. Its id follows from its content, so a repeat is the same record.
    fn parked(&self, unreadable: &Unreadable) -> ParkedRecord {
        let name =
            format!("request\u{1f}{}\u{1f}{}", self.headers, String::from_utf8_lossy(&self.bytes));
        ParkedRecord {
            id: ParkedRecord::id_of(&name),
            reason: in_one_line(&unreadable.to_string()),
            repairable: false,
            user: self.subject.as_deref().and_then(|subject| subject.parse().ok()),
            headers: self.headers.clone(),
            bytes: self.bytes.clone(),
        }
    }
}

/// The value of an attribute's header: quoted strings are unescaped, then one round of percent-decoding.
/// `None` if a quote is not closed or the bytes are not UTF-8.
///
/// # Source
///
/// `CloudEvents` HTTP protocol binding 1.0.2, section 3.1.3.2.
fn decoded(value: &HeaderValue) -> Option<String> {
    let unquoted = unquoted(std::str::from_utf8(value.as_bytes()).ok()?)?;
    decode_segment(&unquoted).map(Cow::into_owned)
}

/// # Source
///
/// RFC 7230, section 3.2.6.
fn unquoted(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('"') {
        return Some(Cow::Borrowed(text));
    }
    let (mut plain, mut is_quoted) = (String::with_capacity(text.len()), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => plain.push(chars.next()?),
            other => plain.push(other),
        }
    }
    (!is_quoted).then_some(Cow::Owned(plain))
}

/// The longest reason, in characters. Some repeat what was sent, which may be as long as a request.
const REASON_CHARS_MAX: usize = 500;

fn in_one_line(reason: &str) -> String {
    let cut = reason.char_indices().nth(REASON_CHARS_MAX).map(|_| "…");
    let kept = REASON_CHARS_MAX - cut.map_or(0, |_| 1);
    let plain = reason.chars().take(kept).map(|c| if c.is_control() { ' ' } else { c });
    plain.chain(cut.unwrap_or_default().chars()).collect()
}

/// The attributes of an action before they are checked.
struct Attributes {
    specversion: Option<String>,
    source: Option<String>,
    id: Option<String>,
    kind: Option<String>,
    subject: Option<String>,
    time: Option<String>,
}

impl Attributes {
    fn action(&self, data: Option<Value>) -> Result<Action, Unreadable> {
        action::Attributes {
            specversion: self.specversion.as_deref(),
            source: self.source.as_deref(),
            id: self.id.as_deref(),
            kind: self.kind.as_deref(),
            subject: self.subject.as_deref(),
            time: self.time.as_deref(),
        }
        .action(data)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","source":"/gifts","id":"g-1","type":"gift.sent","subject":"u42",
        "time":"2026-03-29T01:30:00Z","data":{"coins":50}}"#;

    fn work(element: &Element, latest: &str) -> Work {
        element.work(latest.parse().unwrap(), 64.try_into().unwrap()).1
    }

    #[test]
    fn an_action_from_the_future_is_parked_under_its_identity() {
        let element = Element::structured(EVENT);
        assert!(matches!(work(&element, "2026-03-29T01:30:00Z"), Work::Action(_)));
        let Work::Park(record) = work(&element, "2026-03-29T01:29:59Z") else { panic!("parked") };
        assert_eq!((record.bytes.as_slice(), record.repairable), (EVENT.as_bytes(), false));
    }

    #[test]
    fn what_is_not_an_action_is_parked_as_it_was_sent() {
        for sent in
            [r#"{"source":"/gifts","id":"g-1","subject":"u42"}"#, "7", "null", r#"{"id":{}}"#]
        {
            let element = Element::structured(sent);
            let Work::Park(record) = work(&element, "2026-03-29T01:30:00Z") else {
                panic!("parked: {sent}")
            };
            assert_eq!(record.bytes, sent.as_bytes());
        }
        let element = Element::structured(r#"{"source":"/gifts","id":"g-1","subject":"u42"}"#);
        assert_eq!(
            (element.source.as_deref(), element.id.as_deref()),
            (Some("/gifts"), Some("g-1"))
        );
        let (lane, _) = element.work(Timestamp::MAX, 64.try_into().unwrap());
        assert_eq!(lane, Lane::of("u42", 64.try_into().unwrap()));
    }

    #[test]
    fn binary_mode_says_the_same_as_structured_mode() {
        let pairs = [
            ("ce-specversion", "1.0"),
            ("ce-source", "/gifts"),
            ("ce-id", "g-1"),
            ("ce-type", "gift.sent"),
            ("ce-subject", "%E9%A6%96"),
            ("ce-time", "2026-03-29T01:30:00Z"),
            ("content-type", "application/json"),
        ];
        let headers: HeaderMap = pairs
            .iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .collect();
        let read =
            |body: &'static [u8]| Element::binary(&headers, &Bytes::from_static(body)).unwrap();
        let action = read(br#"{"coins":50}"#).action.unwrap();
        assert_eq!((action.user.as_str(), &action.data["coins"]), ("首", &json!(50)));
        assert!(read(b"").action.unwrap().data.is_empty());
        assert_eq!(read(b"[1]").action.unwrap_err(), Unreadable::DataNotObject);
        assert!(Element::binary(&headers, &Bytes::from_static(b"{")).is_err());
        let Work::Park(record) = work(&read(b"[1]"), "2026-03-29T01:30:00Z") else {
            panic!("parked")
        };
        assert_eq!(record.headers["ce_subject"], "首", "as a Kafka record would carry it");
    }

    #[test]
    fn a_header_is_unquoted_and_percent_decoded_once() {
        let read = |value: &'static str| decoded(&HeaderValue::from_static(value));
        for (value, meant) in [
            ("u42", "u42"),
            (r#""quo ted""#, "quo ted"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
            (r#""100%25""#, "100%"),
            ("100%2525", "100%25"),
            ("back\\slash", "back\\slash"),
            (r#""""#, ""),
        ] {
            assert_eq!(read(value).as_deref(), Some(meant), "{value}");
        }
        for malformed in [r#""open"#, r#""escape\"#, "%C0%A0", "%ff"] {
            assert_eq!(read(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line_whatever_it_repeats() {
        let time = "first\\nsecond".repeat(10_000);
        let sent = EVENT.replace("2026-03-29T01:30:00Z", &time);
        let Work::Park(record) = work(&Element::structured(&sent), "2026-03-29T01:30:00Z") else {
            panic!("parked")
        };
        assert_eq!(record.reason.chars().count(), REASON_CHARS_MAX);
        assert!(record.reason.starts_with("`time` must be") && record.reason.ends_with('…'));
        assert_eq!(in_one_line("two\nlines"), "two lines");
    }
}
