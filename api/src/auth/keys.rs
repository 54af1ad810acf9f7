//! The keys that verify tokens.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::jwks::{Jwks, JwksSource, KeysStanding};
use super::{Caller, ExpectedClaims, now_seconds};
use crate::problem::Problem;

/// Selects the tokens that are accepted.
#[derive(Debug, Clone, Default)]
pub struct KeyOptions {
    /// The secret of HS256. Absent: HS256 is refused.
    pub hs256_secret: Option<String>,
    /// The source of public keys for RS256, ES256 and `EdDSA`. Absent: these are refused.
    pub jwks: Option<JwksSource>,
    /// The audience and issuer that tokens must have.
    pub expected: ExpectedClaims,
}

/// The reason why tokens can't be verified.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Neither a secret nor public keys are configured.
    #[error("no keys to check tokens with; set PLAUDIT_AUTH_HS256_SECRET or PLAUDIT_AUTH_JWKS")]
    None,
    /// The secret is empty, so that anybody could sign.
    #[error("PLAUDIT_AUTH_HS256_SECRET is empty")]
    EmptySecret,
    /// The file with public keys can't be read.
    #[error("the key set {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// The error.
        reason: String,
    },
}

/// The keys that verify tokens. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    hs256: Option<Arc<DecodingKey>>,
    jwks: Option<Jwks>,
    expected: ExpectedClaims,
}

impl Keys {
    /// Reads the secret and the public keys. If the keys' URL does not answer, they are fetched
    /// later and their tokens are answered with 503 until then.
    pub async fn open(options: &KeyOptions) -> Result<Self, KeysError> {
        let hs256 = match options.hs256_secret.as_deref() {
            Some("") => return Err(KeysError::EmptySecret),
            secret => secret.map(|secret| Arc::new(DecodingKey::from_secret(secret.as_bytes()))),
        };
        let jwks = match &options.jwks {
            Some(source) => Some(Jwks::open(source.clone()).await?),
            None => None,
        };
        if hs256.is_none() && jwks.is_none() {
            return Err(KeysError::None);
        }
        Ok(Self(Arc::new(Inner { hs256, jwks, expected: options.expected.clone() })))
    }

    /// Keeps public keys fresh. Runs until it is dropped; ends at once if none are configured.
    pub async fn refresh(self) {
        if let Some(jwks) = &self.0.jwks {
            jwks.refresh().await;
        }
    }

    /// Checks that tokens can be verified. Fails if the public keys have been missing for a while.
    pub fn ready(&self) -> Result<(), String> {
        match self.standing() {
            KeysStanding::Missing(reason) => Err(reason),
            KeysStanding::Fresh | KeysStanding::Stale(_) => Ok(()),
        }
    }

    /// Returns the reason why public keys are stale or not fetched yet.
    pub fn warning(&self) -> Option<String> {
        match self.standing() {
            KeysStanding::Stale(reason) => Some(reason),
            KeysStanding::Fresh | KeysStanding::Missing(_) => None,
        }
    }

    fn standing(&self) -> KeysStanding {
        self.0.jwks.as_ref().map_or(KeysStanding::Fresh, Jwks::standing)
    }

    /// Verifies a token.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Caller, Problem> {
        const NOT_OURS: Problem =
            Problem::Unauthenticated("the token is not signed by a key that is trusted here");
        let header = decode_header(token)
            .map_err(|_| Problem::Unauthenticated("the token is not a signed JWT"))?;
        if header.crit.is_some() {
            // RFC 7515, section 4.1.11: the header lists extensions that must be understood, and
            // none is supported.
            return Err(Problem::Unauthenticated(
                "the token needs extensions that are not known here",
            ));
        }
        let candidates = match (header.alg, &self.0.hs256, &self.0.jwks) {
            (Algorithm::HS256, Some(secret), _) => vec![Arc::clone(secret)],
            (Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA, _, Some(jwks)) => {
                jwks.candidates(header.alg, header.kid.as_deref()).await?
            }
            _ => {
                return Err(Problem::Unauthenticated(
                    "the token's algorithm is not configured here",
                ));
            }
        };
        let mut validation = Validation::new(header.alg);
        // Verifies the signature only: `Caller::from_claims` checks the claims.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) =
            (false, false, false);
        let claims = candidates
            .iter()
            .find_map(|key| decode::<Map<String, Value>>(token, key, &validation).ok());
        Caller::from_claims(&claims.ok_or(NOT_OURS)?.claims, &self.0.expected, now_seconds())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}
