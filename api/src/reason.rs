//! Bodies that say why an operator does something: `{"reason": "…"}`.

use axum::body::Body;
use axum::http::HeaderMap;
use plaudit_release::Operator;
use serde_json::{Map, Value};

use crate::input::{media_type, pointer_to, read_body, refuse_encoded};
use crate::problem::{Answer, InputError, Problem};
use crate::state::ApiState;

/// The longest body.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Why an operator does something.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReasonRequest {
    /// Absent: it was not said.
    pub reason: Option<String>,
}

impl ReasonRequest {
    /// Reads the body; an empty one says nothing.
    pub async fn read(state: &ApiState, headers: &HeaderMap, body: Body) -> Answer<Self> {
        refuse_encoded(headers)?;
        let (body, _held) = read_body(body, BODY_BYTES_MAX, &state.in_flight).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        if media_type(headers).is_none_or(|kind| kind != "application/json") {
            return Err(Problem::UnsupportedMediaType("application/json"));
        }
        Self::parse(&body)
    }

    fn parse(body: &[u8]) -> Answer<Self> {
        let fields: Map<String, Value> = serde_json::from_slice(body)
            .map_err(|e| InputError::body("", format!("not a JSON object: {e}")))?;
        if let Some(unknown) = fields.keys().find(|name| *name != "reason") {
            let why = "unknown field; the body has `reason`";
            return Err(InputError::body(pointer_to(unknown), why).into());
        }
        let reason = match fields.get("reason") {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(checked(text)?),
            Some(_) => return Err(InputError::body("/reason", "a text is wanted").into()),
        };
        Ok(Self { reason })
    }

    /// The reason, where one must be given.
    pub fn required(self) -> Answer<String> {
        let missing = || InputError::body("/reason", "a reason is required").into();
        self.reason.ok_or_else(missing)
    }
}

fn checked(text: &str) -> Answer<String> {
    Operator::checked_reason(text).map_err(|e| InputError::body("/reason", e.to_string()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_text() {
        let reason = |body: &str| ReasonRequest::parse(body.as_bytes()).map(|r| r.reason);
        assert_eq!(reason(r#"{"reason": "a test"}"#).unwrap().as_deref(), Some("a test"));
        assert_eq!(reason("{}").unwrap(), None);
        for bad in ["", "[]", r#"{"reason": 1}"#, r#"{"reason": ""}"#, r#"{"reasons": "x"}"#] {
            assert!(matches!(reason(bad), Err(Problem::BadInput(_))), "{bad}");
        }
        assert!(ReasonRequest::default().required().is_err());
    }
}
