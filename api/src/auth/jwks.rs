//! Public keys (JWK Set, RFC 7517) from a file or a URL, kept fresh.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::keys::KeysError;
use crate::problem::Problem;

/// Where public keys are.
#[derive(Debug, Clone)]
pub enum JwksSource {
    /// A file; read again when a token names a key that is not known, and every few minutes.
    File(PathBuf),
    /// An `http` or `https` address, and who fetches it.
    Url(reqwest::Url, reqwest::Client),
}

/// How long keys are used before they are fetched again.
const FRESH: Duration = Duration::from_secs(300);
/// The first and the longest wait after a failed fetch; each one is twice the one before.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Tokens with invented key ids must not make us fetch more often than this.
const REFETCH_MIN: Duration = Duration::from_secs(5);
/// The longest that one fetch may take.
const FETCH_MAX: Duration = Duration::from_secs(5);

pub struct Jwks {
    source: JwksSource,
    /// `None` until they were fetched for the first time.
    keys: RwLock<Option<Vec<PublicKey>>>,
    /// When it was last asked for a key that was not known; held while fetching, so that one
    /// fetch serves all who wait.
    asked: Mutex<Option<Instant>>,
}

struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

impl Jwks {
    pub async fn open(source: JwksSource) -> Result<Self, KeysError> {
        let jwks = Self { source, keys: RwLock::new(None), asked: Mutex::new(None) };
        match (jwks.fetch().await, &jwks.source) {
            (Ok(()), _) => {}
            (Err(reason), JwksSource::File(path)) => {
                return Err(KeysError::File { path: path.display().to_string(), reason });
            }
            (Err(reason), JwksSource::Url(url, _)) => {
                tracing::warn!(
                    host = url.host_str(),
                    reason,
                    "the keys for tokens could not be fetched yet"
                );
            }
        }
        Ok(jwks)
    }

    pub async fn refresh(&self) {
        let mut retry = RETRY_FIRST;
        let mut wait = if self.is_loaded() { FRESH } else { retry };
        loop {
            tokio::time::sleep(wait).await;
            match self.fetch().await {
                Ok(()) => (wait, retry) = (FRESH, RETRY_FIRST),
                Err(reason) => {
                    tracing::warn!(
                        reason,
                        "the keys for tokens could not be fetched; the last ones stay in use"
                    );
                    (wait, retry) = (retry, (retry * 2).min(RETRY_MAX));
                }
            }
        }
    }

    /// The keys that may have signed a token. A key id that is not known is looked for once more at
    /// the source.
    pub async fn candidates(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Vec<Arc<DecodingKey>>, Problem> {
        let known = self.known(algorithm, id);
        if !known.is_empty() {
            return Ok(known);
        }
        let mut asked = self.asked.lock().await;
        let known = self.known(algorithm, id);
        if known.is_empty() && asked.is_none_or(|at| at.elapsed() >= REFETCH_MIN) {
            *asked = Some(Instant::now());
            if let Err(reason) = self.fetch().await {
                tracing::warn!(reason, "the keys for tokens could not be fetched");
            }
        }
        if !self.is_loaded() {
            return Err(Problem::Unavailable("the keys to check tokens with can't be fetched"));
        }
        Ok(self.known(algorithm, id))
    }

    fn is_loaded(&self) -> bool {
        self.keys.read().expect("nothing panics while it holds the lock").is_some()
    }

    fn known(&self, algorithm: Algorithm, id: Option<&str>) -> Vec<Arc<DecodingKey>> {
        let keys = self.keys.read().expect("nothing panics while it holds the lock");
        // A token without a key id may be signed by any; a key without an id is taken for any.
        let fits = |key: &&PublicKey| {
            key.algorithm == algorithm
                && id.is_none_or(|id| key.id.as_deref().is_none_or(|have| have == id))
        };
        keys.iter().flatten().filter(fits).map(|key| Arc::clone(&key.key)).collect()
    }

    async fn fetch(&self) -> Result<(), String> {
        let text = match &self.source {
            JwksSource::File(path) => tokio::fs::read(path).await.map_err(|e| e.to_string())?,
            JwksSource::Url(url, client) => {
                let request = client.get(url.clone()).timeout(FETCH_MAX).send();
                let response = request.await.and_then(reqwest::Response::error_for_status);
                let body = async { response?.bytes().await };
                body.await.map_err(|e| e.without_url().to_string())?.to_vec()
            }
        };
        let read = read_set(&text)?;
        *self.keys.write().expect("nothing panics while it holds the lock") = Some(read);
        Ok(())
    }
}

/// Reads a key set. Keys of kinds that are not used here are left out, as RFC 7517 has it.
fn read_set(text: &[u8]) -> Result<Vec<PublicKey>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let Set { keys } = serde_json::from_slice(text).map_err(|e| format!("no JWK Set: {e}"))?;
    let keys = keys.into_iter().filter_map(|key| Jwk::deserialize(key).ok());
    Ok(JwkSet { keys: keys.collect() }.keys.iter().filter_map(public_key).collect())
}

/// A key that signs with one of our algorithms. Symmetric keys are none: they don't belong into a
/// set that is published.
fn public_key(jwk: &Jwk) -> Option<PublicKey> {
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let signs = jwk
        .common
        .public_key_use
        .as_ref()
        .is_none_or(|for_what| *for_what == PublicKeyUse::Signature);
    let meant = jwk.common.key_algorithm.is_none_or(|only| only == named);
    let key = DecodingKey::from_jwk(jwk).ok().filter(|_| signs && meant)?;
    Some(PublicKey { id: jwk.common.key_id.clone(), algorithm, key: Arc::new(key) })
}
