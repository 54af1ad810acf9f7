//! Callers: bearer tokens (JWT) and the roles in them.

mod jwks;
mod keys;

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use serde_json::{Map, Value};

use crate::problem::Problem;

pub use jwks::JwksSource;
pub use keys::{KeyOptions, Keys, KeysError};

/// A role in a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads and claims for its own user.
    Client,
    /// Sends actions.
    Producer,
    /// Reads everything of all users, and changes nothing.
    Auditor,
    /// Publishes tasks and keeps the system running.
    Operator,
}

impl Role {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "client" => Self::Client,
            "producer" => Self::Producer,
            "auditor" => Self::Auditor,
            "operator" => Self::Operator,
            _ => return None,
        })
    }
}

/// The caller that a verified token names.
#[derive(Debug, Clone)]
pub struct Caller {
    /// `sub`; for clients this is the user.
    pub subject: String,
    /// The known roles of the token; unknown ones are ignored.
    pub roles: BTreeSet<Role>,
    /// True for `act_for: "*"`: a client that reads and claims for all users.
    pub act_for_all: bool,
    /// `exp`, in seconds since 1970.
    pub expires_at: f64,
}

impl Caller {
    /// Reads the claims of a token whose signature is valid.
    fn from_claims(
        claims: &Map<String, Value>,
        expected: &ExpectedClaims,
        now_seconds: f64,
    ) -> Result<Self, Problem> {
        let no = |why| Err(Problem::Unauthenticated(why));
        // RFC 7519, sections 4.1.4 and 4.1.5: not accepted on or after `exp`, nor before `nbf`. No
        // leeway for clocks that differ: a token is valid for exactly as long as it says.
        let expires_at = match claims.get("exp").and_then(Value::as_f64) {
            None => return no("the token has no `exp`"),
            Some(exp) if exp <= now_seconds => return no("the token has expired"),
            Some(exp) => exp,
        };
        match claims.get("nbf") {
            None => {}
            Some(nbf) => match nbf.as_f64() {
                Some(nbf) if nbf <= now_seconds => {}
                _ => return no("the token is not valid yet"),
            },
        }
        expected.check(claims)?;
        let Some(subject) = claims.get("sub").and_then(Value::as_str).filter(|sub| !sub.is_empty())
        else {
            return no("the token has no `sub`");
        };
        // It is stored with every change that its bearer makes.
        if subject.chars().any(char::is_control) {
            return no("`sub` of the token has control characters");
        }
        let roles = match claims.get("roles") {
            None => &[][..],
            Some(Value::Array(roles)) => roles,
            Some(_) => return no("`roles` of the token is not an array"),
        };
        let roles: BTreeSet<_> =
            roles.iter().filter_map(Value::as_str).filter_map(Role::named).collect();
        let act_for_all = claims.get("act_for").is_some_and(|for_whom| for_whom == "*");
        Ok(Self { subject: subject.to_owned(), roles, act_for_all, expires_at })
    }
}

/// Claims that a token must have. Only those that are set are checked.
#[derive(Debug, Clone, Default)]
pub struct ExpectedClaims {
    /// `aud` must be this, or an array that contains it.
    pub audience: Option<String>,
    /// `iss` must be this.
    pub issuer: Option<String>,
}

impl ExpectedClaims {
    /// # Source
    ///
    /// RFC 7519, sections 4.1.1 and 4.1.3.
    fn check(&self, claims: &Map<String, Value>) -> Result<(), Problem> {
        if let Some(audience) = &self.audience {
            let is_meant = match claims.get("aud") {
                Some(Value::Array(all)) => all.iter().any(|one| one == audience.as_str()),
                one => one.is_some_and(|one| one == audience.as_str()),
            };
            if !is_meant {
                return Err(Problem::Unauthenticated("the token is for another audience (`aud`)"));
            }
        }
        if let Some(issuer) = &self.issuer
            && claims.get("iss").is_none_or(|iss| iss != issuer.as_str())
        {
            return Err(Problem::Unauthenticated("the token is from another issuer (`iss`)"));
        }
        Ok(())
    }
}

fn now_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Returns the token of a request.
///
/// # Source
///
/// RFC 6750, section 2.1; the scheme is compared without case (RFC 9110, section 11.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = Problem::Unauthenticated("send `Authorization: Bearer` with a token");
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(missing) };
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    match token {
        Some((scheme, token))
            if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() =>
        {
            Ok(token.trim())
        }
        _ => Err(missing),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn audience_and_issuer_are_compared_when_they_are_expected() {
        let expected = ExpectedClaims {
            audience: Some("plaudit".to_owned()),
            issuer: Some("https://id.example".to_owned()),
        };
        let accepted = |claims: Value| expected.check(claims.as_object().unwrap()).is_ok();
        let iss = "https://id.example";
        assert!(accepted(json!({"aud": "plaudit", "iss": iss})));
        assert!(accepted(json!({"aud": ["other", "plaudit"], "iss": iss})));
        for bad in [
            json!({"iss": iss}),
            json!({"aud": "other", "iss": iss}),
            json!({"aud": ["other"], "iss": iss}),
            json!({"aud": null, "iss": iss}),
            json!({"aud": "plaudit"}),
            json!({"aud": "plaudit", "iss": "https://id.example/"}),
            json!({"aud": "plaudit", "iss": [iss]}),
        ] {
            assert!(!accepted(bad.clone()), "{bad}");
        }
        let any = json!({"aud": "other"});
        assert!(ExpectedClaims::default().check(any.as_object().unwrap()).is_ok());
    }

    #[test]
    fn a_token_is_valid_from_nbf_until_before_exp() {
        let accepted = |now: f64| {
            let claims = json!({"sub": "u42", "roles": ["client"], "nbf": 1_000, "exp": 2_000});
            let any = ExpectedClaims::default();
            Caller::from_claims(claims.as_object().unwrap(), &any, now).is_ok()
        };
        assert!(accepted(1_000.0) && accepted(1_999.9));
        assert!(!accepted(999.9) && !accepted(2_000.0));
    }

    #[test]
    fn a_subject_with_control_characters_is_no_subject() {
        let accepted = |subject: &str| {
            let claims = json!({"sub": subject, "roles": ["operator"], "exp": 2_000});
            let any = ExpectedClaims::default();
            Caller::from_claims(claims.as_object().unwrap(), &any, 1_000.0).is_ok()
        };
        assert!(accepted("olga ö") && !accepted("olga\0") && !accepted("ol\nga") && !accepted(""));
    }
}
