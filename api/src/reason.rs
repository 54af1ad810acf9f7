//! Bodies of changes by hand: a JSON object with a `reason` and the operation's own fields.

use std::ops::RangeBounds;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::operations::NO_REASON_GIVEN;
use plaudit_release::Operator;
use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::claims::integer;
use crate::in_flight::Held;
use crate::input::{media_type, pointer_to, read_body, refuse_encoded};
use crate::problem::{Answer, InputError, Problem};
use crate::state::{ApiState, Shared};

/// The largest body, in bytes: a reason is a sentence or two.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// The fields of a change by hand. Collects errors, so that all are reported at once.
#[derive(Debug, Default)]
pub struct HandBody {
    fields: Map<String, Value>,
    errors: Vec<InputError>,
}

/// The author of a change. The reason comes from the body; without one it is [`NO_REASON_GIVEN`].
/// For operations whose body has no other field.
#[derive(Debug)]
pub struct Signed(pub Author);

impl FromRequest<Shared> for Signed {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Shared) -> Answer<Self> {
        let (mut parts, body) = request.into_parts();
        let caller = parts.extensions.remove::<Caller>().ok_or(Problem::Internal)?;
        let (mut body, _held) = HandBody::read(state, &parts.headers, body).await?;
        let reason = body.reason().unwrap_or_else(|| NO_REASON_GIVEN.to_owned());
        body.finish()?;
        Ok(Self(Author { by: caller.subject, reason: Some(reason) }))
    }
}

impl HandBody {
    /// Reads the body. An empty body has no fields.
    pub async fn read(state: &ApiState, headers: &HeaderMap, body: Body) -> Answer<(Self, Held)> {
        refuse_encoded(headers)?;
        let (body, held) = read_body(body, BODY_BYTES_MAX, &state.in_flight).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok((Self::default(), held));
        }
        if media_type(headers).is_none_or(|kind| kind != "application/json") {
            return Err(Problem::UnsupportedMediaType("application/json"));
        }
        Ok((Self::parse(&body)?, held))
    }

    fn parse(body: &[u8]) -> Answer<Self> {
        let mut fields: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|e| InputError::body("", format!("not a JSON object: {e}")))?;
        fields.retain(|_, value| !value.is_null());
        Ok(Self { fields, errors: Vec::new() })
    }

    /// Records an error of a field.
    pub fn refuse(&mut self, name: &str, expected: impl Into<String>) {
        self.errors.push(InputError::body(pointer_to(name), expected));
    }

    /// Returns the reason, for operations where it is optional.
    pub fn reason(&mut self) -> Option<String> {
        match self.fields.remove("reason")? {
            Value::String(text) => match Operator::checked_reason(&text) {
                Ok(reason) => return Some(reason),
                Err(wrong) => self.refuse("reason", wrong.to_string()),
            },
            _ => self.refuse("reason", "must be a text"),
        }
        None
    }

    /// Returns the reason, for operations where it is required. A missing reason is an error and
    /// yields an empty text.
    pub fn required_reason(&mut self) -> String {
        if !self.has("reason") {
            self.refuse("reason", "a reason is required");
        }
        self.reason().unwrap_or_default()
    }

    /// True if the body has the field, whether it is valid or not.
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Returns an integer field. Another value, or one outside the range, is an error.
    pub fn integer(
        &mut self,
        name: &str,
        range: impl RangeBounds<i64>,
        expected: &str,
    ) -> Option<i64> {
        let found = integer(&self.fields.remove(name)?).filter(|found| range.contains(found));
        if found.is_none() {
            self.refuse(name, expected);
        }
        found
    }

    /// As [`Self::integer`], for a required field. A missing field is an error and yields 0.
    pub fn required_integer(
        &mut self,
        name: &str,
        range: impl RangeBounds<i64>,
        expected: &str,
    ) -> i64 {
        if !self.has(name) {
            self.refuse(name, expected);
        }
        self.integer(name, range, expected).unwrap_or_default()
    }

    /// Returns a flag; false if it is absent.
    pub fn flag(&mut self, name: &str) -> bool {
        match self.fields.remove(name) {
            None => false,
            Some(Value::Bool(set)) => set,
            Some(_) => {
                self.refuse(name, "must be true or false");
                false
            }
        }
    }

    /// Returns a line of text of at most `chars_max` characters.
    pub fn text(&mut self, name: &str, chars_max: usize) -> Option<String> {
        let fits = |text: &String| {
            let is_short = (1..=chars_max).contains(&text.chars().count());
            is_short && !text.trim().is_empty() && !text.chars().any(char::is_control)
        };
        match self.fields.remove(name)? {
            Value::String(text) if fits(&text) => Some(text),
            _ => {
                let expected =
                    format!("must be 1 to {chars_max} characters without control characters");
                self.refuse(name, expected);
                None
            }
        }
    }

    /// As [`Self::text`], for a required field. A missing field is an error and yields an empty
    /// text.
    pub fn required_text(&mut self, name: &str, chars_max: usize) -> String {
        if !self.has(name) {
            self.refuse(name, "it is missing");
        }
        self.text(name, chars_max).unwrap_or_default()
    }

    /// Refuses the body if an error was recorded or a field is unknown.
    pub fn finish(mut self) -> Answer<()> {
        let left: Vec<String> = self.fields.keys().cloned().collect();
        for name in left {
            self.refuse(&name, "unknown field");
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::BadInput(self.errors)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_text() {
        let reason = |body: &str| {
            let mut body = HandBody::parse(body.as_bytes())?;
            let reason = body.reason();
            body.finish().map(|()| reason)
        };
        assert_eq!(reason(r#"{"reason": " a test"}"#).unwrap().as_deref(), Some("a test"));
        assert_eq!(reason("{}").unwrap(), None);
        for bad in ["", "[]", r#"{"reason": 1}"#, r#"{"reason": ""}"#, r#"{"reasons": "x"}"#] {
            assert!(matches!(reason(bad), Err(Problem::BadInput(_))), "{bad}");
        }
    }

    #[test]
    fn every_error_of_a_body_is_reported_with_its_place() {
        let json = br#"{"count": 1.5, "line": "", "force": "yes", "more/less": 1}"#;
        let mut body = HandBody::parse(json).unwrap();
        body.required_reason();
        body.integer("count", .., "must be an integer");
        body.text("line", 64);
        body.flag("force");
        body.required_text("kind", 200);
        let Err(Problem::BadInput(errors)) = body.finish() else { panic!("refused") };
        let places: Vec<_> = errors.iter().filter_map(|error| error.pointer.as_deref()).collect();
        assert_eq!(places, ["/reason", "/count", "/line", "/force", "/kind", "/more~1less"]);
    }
    #[test]
    fn a_number_that_is_wrong_or_missing_is_reported_once() {
        for body in ["{}", r#"{"amount": "x"}"#, r#"{"amount": 1.5}"#, r#"{"amount": 0}"#] {
            let mut read = HandBody::parse(body.as_bytes()).unwrap();
            read.required_integer("amount", 1.., "must be an integer of at least 1");
            let Err(Problem::BadInput(errors)) = read.finish() else { panic!("{body}") };
            assert_eq!(errors.len(), 1, "{body}");
        }
    }
}
