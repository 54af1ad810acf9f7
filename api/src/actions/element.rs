//! One element of a request: an action, or anything else that was sent in its place.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use jiff::Timestamp;
use plaudit_actions::cloud_events::{self, KAFKA_PREFIX, STRUCTURED, Unreadable, http};
use plaudit_domain::action::{self, Action};
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_event_store::{Incoming, ParkedRecord};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::names::Names;
use super::portions::ELEMENT_BYTES_MAX;
use crate::input::media_type;
use crate::problem::{Answer, InputError};

/// One element of a request. Its identity is kept even if it is not a valid action.
#[derive(Debug)]
pub struct Element {
    /// Its `source`, if it has one.
    pub source: Option<String>,
    /// Its `id`, if it has one.
    pub id: Option<String>,
    subject: Option<String>,
    action: Result<Action, Unreadable>,
    /// The headers that a Kafka record of it would have, so that a parked element is read again in
    /// the same way.
    headers: Value,
    bytes: Vec<u8>,
}

impl Element {
    /// Reads an element from JSON.
    pub fn structured(json: impl AsRef<[u8]>) -> Self {
        let json = json.as_ref();
        let action = if_readable(json).and_then(|()| cloud_events::from_structured(json));
        let names = match &action {
            Ok(action) => {
                let subject = Some(action.user.to_string());
                Names { source: Some(action.source.clone()), id: Some(action.id.clone()), subject }
            }
            Err(_) => Names::of(json),
        };
        Self {
            source: names.source,
            id: names.id,
            subject: names.subject,
            action,
            headers: json!({"content-type": STRUCTURED}),
            bytes: json.to_vec(),
        }
    }

    /// Reads an element from `ce-` headers and a body that is its `data`.
    ///
    /// # Source
    ///
    /// `CloudEvents` HTTP protocol binding 1.0.2, section 3.1.
    pub fn binary(headers: &HeaderMap, body: &[u8]) -> Answer<Self> {
        if !body.iter().all(u8::is_ascii_whitespace) {
            serde_json::from_slice::<IgnoredAny>(body)
                .map_err(|e| InputError::body("", format!("not valid JSON: {e}")))?;
        }
        let mut attributes: BTreeMap<&str, String> = BTreeMap::new();
        let mut malformed = None;
        for name in ATTRIBUTES {
            let header = format!("{}{name}", http::PREFIX);
            match headers.get(&header).map(|value| http::decode(value.as_bytes())) {
                None => {}
                Some(Ok(text)) => {
                    attributes.insert(name, text);
                }
                Some(Err(why)) => malformed = Some(Unreadable::HeaderValue { header, why }),
            }
        }
        let attribute = |name: &'static str| attributes.get(name).map(String::as_bytes);
        let action = malformed.map_or_else(
            || if_readable(body).and_then(|()| cloud_events::from_binary(body, attribute)),
            Err,
        );
        let as_record = headers.iter().filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(http::PREFIX)?;
            let as_sent = |_| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let value = http::decode(value.as_bytes()).unwrap_or_else(as_sent);
            Some((format!("{KAFKA_PREFIX}{name}"), value.into()))
        });
        let mut record: Map<String, Value> = as_record.collect();
        let media_type = media_type(headers).unwrap_or_else(|| "application/json".to_owned());
        record.insert("content-type".to_owned(), media_type.into());
        Ok(Self {
            action,
            source: attributes.remove("source"),
            id: attributes.remove("id"),
            subject: attributes.remove("subject"),
            headers: Value::Object(record),
            bytes: body.to_vec(),
        })
    }

    /// Returns the work that the element causes, and its lane. An action later than `latest` is
    /// from the future and is parked.
    pub fn work(self, latest: Timestamp, lane_count: LaneCount) -> (Lane, Incoming) {
        let lane = |key: &str| Lane::of(key, lane_count);
        match self.action {
            Ok(action) if action.occurred_at > latest => {
                let reason = format!("`time` {} is in the future", action.occurred_at);
                let record = ParkedRecord::of_action(&action, &reason, false);
                let as_sent = ParkedRecord { headers: self.headers, bytes: self.bytes, ..record };
                (lane(action.user.as_str()), Incoming::Park(as_sent))
            }
            Ok(action) => (lane(action.user.as_str()), Incoming::Action(action)),
            Err(ref unreadable) => {
                let record = self.parked(unreadable);
                let key =
                    record.user.as_ref().map_or_else(|| record.id.to_string(), UserId::to_string);
                (lane(&key), Incoming::Park(record))
            }
        }
    }

    /// Builds the record to park. Its id is derived from its content, so that a repeat is the same
    /// record.
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

/// Refuses an element before it is parsed if it is too long to be an action.
fn if_readable(text: &[u8]) -> Result<(), Unreadable> {
    if text.len() > ELEMENT_BYTES_MAX {
        return Err(action::Unreadable::DataTooLarge.into());
    }
    Ok(())
}

/// The attributes that are read from the headers in binary mode.
const ATTRIBUTES: [&str; 6] = ["specversion", "source", "id", "type", "subject", "time"];

/// The longest reason, in characters. Some reasons repeat the input, which may be as long as a
/// request.
const REASON_CHARS_MAX: usize = 500;

fn in_one_line(reason: &str) -> String {
    let cut = reason.char_indices().nth(REASON_CHARS_MAX).map(|_| "…");
    let kept = REASON_CHARS_MAX - cut.map_or(0, |_| 1);
    let plain = reason.chars().take(kept).map(|c| if c.is_control() { ' ' } else { c });
    plain.chain(cut.unwrap_or_default().chars()).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    const EVENT: &str = r#"{"specversion":"1.0","source":"/gifts","id":"g-1","type":"gift.sent","subject":"u42",
        "time":"2026-03-29T01:30:00Z","data":{"coins":50}}"#;

    fn work(element: Element, latest: &str) -> Incoming {
        element.work(latest.parse().unwrap(), 64.try_into().unwrap()).1
    }

    #[test]
    fn an_action_from_the_future_is_parked_under_its_identity() {
        let element = || Element::structured(EVENT);
        assert!(matches!(work(element(), "2026-03-29T01:30:00Z"), Incoming::Action(_)));
        let Incoming::Park(record) = work(element(), "2026-03-29T01:29:59Z") else {
            panic!("parked")
        };
        assert_eq!((record.bytes.as_slice(), record.repairable), (EVENT.as_bytes(), false));
    }

    #[test]
    fn what_is_not_an_action_is_parked_as_it_was_sent() {
        for sent in
            [r#"{"source":"/gifts","id":"g-1","subject":"u42"}"#, "7", "null", r#"{"id":{}}"#]
        {
            let element = Element::structured(sent);
            let Incoming::Park(record) = work(element, "2026-03-29T01:30:00Z") else {
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
        let read = |body: &'static [u8]| Element::binary(&headers, body).unwrap();
        let action = read(br#"{"coins":50}"#).action.unwrap();
        assert_eq!((action.user.as_str(), &action.data["coins"]), ("首", &json!(50)));
        assert!(read(b"").action.unwrap().data.is_empty());
        assert_eq!(read(b"[1]").action.unwrap_err(), Unreadable::DataNotObject);
        assert!(Element::binary(&headers, b"{").is_err());
        let Incoming::Park(record) = work(read(b"[1]"), "2026-03-29T01:30:00Z") else {
            panic!("parked")
        };
        assert_eq!(record.headers["ce_subject"], "首", "as a Kafka record would carry it");
    }

    #[test]
    fn a_header_that_can_not_be_decoded_is_named() {
        for (value, why) in [("a%zz", "two hexadecimal digits"), ("\"open", "double quote")] {
            let mut headers = HeaderMap::new();
            headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
            headers.insert("ce-subject", HeaderValue::from_static(value));
            let refused = Element::binary(&headers, b"").unwrap().action.unwrap_err();
            let refused = refused.to_string();
            assert!(refused.contains("ce-subject") && refused.contains(why), "{refused}");
        }
    }

    #[test]
    fn data_in_base64_is_read_as_data_would_be() {
        let sent = EVENT.replace(r#""data":{"coins":50}"#, r#""data_base64":"eyJjb2lucyI6NTB9""#);
        let action = Element::structured(&sent).action.unwrap();
        assert_eq!(action.data["coins"], 50);
    }

    #[test]
    fn a_reason_is_one_short_line_whatever_it_repeats() {
        let time = "first\\nsecond".repeat(10_000);
        let sent = EVENT.replace("2026-03-29T01:30:00Z", &time);
        let Incoming::Park(record) = work(Element::structured(&sent), "2026-03-29T01:30:00Z")
        else {
            panic!("parked")
        };
        assert_eq!(record.reason.chars().count(), REASON_CHARS_MAX);
        assert!(record.reason.starts_with("`time` must be") && record.reason.ends_with('…'));
        assert_eq!(in_one_line("two\nlines"), "two lines");
    }
}
