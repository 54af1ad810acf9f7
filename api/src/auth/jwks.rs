//! Public keys (JWK Set, RFC 7517) from a file or a URL, refreshed regularly.
//!
//! Tokens with a known key never wait for a fetch. All tokens that wait for an unknown key share
//! one fetch, and the next such fetch begins at the earliest 5 s after it has ended, so that tokens
//! with invented key ids neither load the key server nor queue up.

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _, Shared};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, timeout};

use super::keys::KeysError;
use crate::problem::Problem;

/// The source of public keys.
#[derive(Debug, Clone)]
pub enum JwksSource {
    /// A file. It is read again when a token names an unknown key, and every few minutes.
    File(PathBuf),
    /// An `http` or `https` address and the client to fetch it with.
    Url(reqwest::Url, reqwest::Client),
}

/// Interval between fetches of the keys.
const FRESH: Duration = Duration::from_secs(300);
/// The first and the longest wait after a failed fetch; each wait is twice the one before.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// The shortest time between the end of a fetch and the next fetch for a token.
const REFETCH_MIN: Duration = Duration::from_secs(5);
/// Time limit for a fetch. Shorter than a request's deadline, so that the request is refused for
/// the failed fetch and not for its deadline.
const FETCH_MAX: Duration = Duration::from_secs(4);
/// A process that has had no keys for this long is not ready: it can't check tokens that are signed
/// with one.
const UNREADY_AFTER: Duration = Duration::from_secs(8);
/// Limits on the bytes and the keys of a set. Providers publish a handful of keys, each with a few
/// KB.
const SET_BYTES_MAX: usize = 1024 * 1024;
const KEYS_MAX: usize = 100;

/// The public keys of one source; see the module. Cheap to clone.
#[derive(Clone)]
pub struct Jwks(Arc<Inner>);

struct Inner {
    source: JwksSource,
    /// `None` until the first successful fetch.
    keys: RwLock<Option<Vec<PublicKey>>>,
    fetching: Mutex<Fetching>,
    opened_at: Instant,
}

type Fetch = Shared<BoxFuture<'static, Result<(), Arc<str>>>>;

#[derive(Default)]
struct Fetching {
    /// The fetch in progress.
    running: Option<Fetch>,
    ended_at: Option<Instant>,
    /// The error of the last fetch, if it failed.
    failure: Option<Arc<str>>,
}

/// The state of the public keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeysStanding {
    /// The last fetch succeeded.
    Fresh,
    /// The last fetch failed and earlier keys stay in use, or the first fetch has not succeeded
    /// yet.
    Stale(String),
    /// There are no keys, and there have been none for a while.
    Missing(String),
}

struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: Arc<DecodingKey>,
}

impl Jwks {
    pub async fn open(source: JwksSource) -> Result<Self, KeysError> {
        let (fetching, opened_at) = (Mutex::default(), Instant::now());
        let inner = Inner { source, keys: RwLock::new(None), fetching, opened_at };
        let jwks = Self(Arc::new(inner));
        match (jwks.fetch().await, &jwks.0.source) {
            // Lets a token trigger the next fetch at once: the keys may have been rotated during
            // the start.
            (Ok(()), _) => jwks.fetching().ended_at = None,
            (Err(reason), JwksSource::File(path)) => {
                let path = path.display().to_string();
                return Err(KeysError::File { path, reason: reason.to_string() });
            }
            (Err(reason), JwksSource::Url(url, _)) => {
                let host = url.host_str();
                tracing::warn!(host, %reason, "the keys for tokens could not be fetched yet");
            }
        }
        Ok(jwks)
    }

    /// Fetches the keys every few minutes, and sooner after a failure. Runs until it is dropped.
    pub async fn refresh(&self) {
        let mut retry = RETRY_FIRST;
        let mut wait = if self.is_loaded() { FRESH } else { retry };
        loop {
            tokio::time::sleep(wait).await;
            match self.fetch().await {
                Ok(()) => (wait, retry) = (FRESH, RETRY_FIRST),
                Err(reason) => {
                    tracing::warn!(
                        %reason,
                        "the keys for tokens could not be fetched; the last ones stay in use"
                    );
                    (wait, retry) = (retry, (retry * 2).min(RETRY_MAX));
                }
            }
        }
    }

    /// Returns the keys that may have signed a token; none if no key of the set fits. Fetches the
    /// set again for an unknown key, unless a fetch has only just ended.
    pub async fn candidates(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Vec<Arc<DecodingKey>>, Problem> {
        let known = self.known(algorithm, id);
        if !known.is_empty() {
            return Ok(known);
        }
        if let Some(fetch) = self.fetch_for_a_token() {
            let _ = fetch.await; // a failure was logged by whoever ran it
        }
        if !self.is_loaded() {
            return Err(Problem::Unavailable("the keys to check tokens with can't be fetched"));
        }
        Ok(self.known(algorithm, id))
    }

    /// Returns the state of the keys.
    pub fn standing(&self) -> KeysStanding {
        let failure = self.fetching().failure.clone();
        let source = &self.0.source;
        if self.is_loaded() {
            return failure.map_or(KeysStanding::Fresh, |reason| {
                KeysStanding::Stale(format!(
                    "the keys for tokens at {source} can't be fetched again, and the last ones stay in use: {reason}"
                ))
            });
        }
        let reason = failure.as_deref().unwrap_or("no answer yet");
        let text = format!(
            "the keys for tokens could not be fetched from {source}: {reason}; it is tried again, and until \
             then tokens signed with them are answered with 503"
        );
        if self.0.opened_at.elapsed() >= UNREADY_AFTER {
            KeysStanding::Missing(text)
        } else {
            KeysStanding::Stale(text)
        }
    }

    fn is_loaded(&self) -> bool {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn known(&self, algorithm: Algorithm, id: Option<&str>) -> Vec<Arc<DecodingKey>> {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        // A token without a key id may be signed by any key; a key without an id fits any token.
        let fits = |key: &&PublicKey| {
            key.algorithm == algorithm
                && id.is_none_or(|id| key.id.as_deref().is_none_or(|have| have == id))
        };
        keys.iter().flatten().filter(fits).map(|key| Arc::clone(&key.key)).collect()
    }

    fn fetching(&self) -> MutexGuard<'_, Fetching> {
        self.0.fetching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the fetch in progress, or starts one. `None` if the last one has only just ended.
    fn fetch_for_a_token(&self) -> Option<Fetch> {
        let mut fetching = self.fetching();
        let just_ended = fetching.ended_at.is_some_and(|at| at.elapsed() < REFETCH_MIN);
        match &fetching.running {
            Some(running) => Some(running.clone()),
            None if just_ended => None,
            None => Some(self.start_fetch(&mut fetching)),
        }
    }

    fn fetch(&self) -> Fetch {
        let mut fetching = self.fetching();
        match &fetching.running {
            Some(running) => running.clone(),
            None => self.start_fetch(&mut fetching),
        }
    }

    /// Spawns the fetch as a task of its own: all its waiters may be gone before it ends.
    fn start_fetch(&self, fetching: &mut Fetching) -> Fetch {
        let jwks = self.clone();
        let task = tokio::spawn(async move {
            let read = match timeout(FETCH_MAX, jwks.0.source.read()).await {
                Ok(text) => text.and_then(|text| read_set(&text)),
                Err(_) => Err(format!("no answer within {} s", FETCH_MAX.as_secs())),
            };
            let outcome = read.map(|keys| {
                *jwks.0.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys);
            });
            let mut fetching = jwks.fetching();
            (fetching.running, fetching.ended_at) = (None, Some(Instant::now()));
            let outcome = outcome.map_err(Arc::<str>::from);
            if let Err(reason) = &outcome {
                tracing::debug!(%reason, "a fetch of the keys for tokens failed");
            }
            fetching.failure = outcome.as_ref().err().cloned();
            outcome
        });
        let fetch = task.map(|done| done.unwrap_or_else(|_| Err(Arc::from("the fetch panicked"))));
        let fetch = fetch.boxed().shared();
        fetching.running = Some(fetch.clone());
        fetch
    }
}

impl fmt::Display for JwksSource {
    /// Omits the query and the password of an address: they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url, _) => {
                let host = url.host_str().unwrap_or_default();
                let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
                write!(f, "{}://{host}{port}{}", url.scheme(), url.path())
            }
        }
    }
}

impl JwksSource {
    /// Reads the set. Its length is bounded, whatever the source sends.
    async fn read(&self) -> Result<Vec<u8>, String> {
        let too_long = || format!("the key set is longer than {SET_BYTES_MAX} bytes");
        match self {
            Self::File(path) => {
                let file = tokio::fs::File::open(path).await.map_err(|e| e.to_string())?;
                let mut text = Vec::new();
                let limit = u64::try_from(SET_BYTES_MAX).unwrap_or(u64::MAX);
                let mut bounded = pin!(file.take(limit + 1));
                bounded.read_to_end(&mut text).await.map_err(|e| e.to_string())?;
                if text.len() > SET_BYTES_MAX { Err(too_long()) } else { Ok(text) }
            }
            Self::Url(url, client) => {
                let text = |error: reqwest::Error| error.without_url().to_string();
                let response = client.get(url.clone()).send().await.map_err(text)?;
                let mut chunks = response.error_for_status().map_err(text)?.bytes_stream();
                let mut read = Vec::new();
                while let Some(chunk) = chunks.next().await {
                    read.extend_from_slice(&chunk.map_err(text)?);
                    if read.len() > SET_BYTES_MAX {
                        return Err(too_long());
                    }
                }
                Ok(read)
            }
        }
    }
}

/// Parses a key set. Keys of unsupported kinds are left out, as RFC 7517 demands.
fn read_set(text: &[u8]) -> Result<Vec<PublicKey>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let Set { keys } = serde_json::from_slice(text).map_err(|e| format!("not a JWK Set: {e}"))?;
    if keys.len() > KEYS_MAX {
        return Err(format!("the key set has {} keys, more than {KEYS_MAX}", keys.len()));
    }
    let keys = keys.into_iter().filter_map(|key| Jwk::deserialize(key).ok());
    Ok(keys.filter_map(|key| public_key(&key)).collect())
}

/// Returns a key for one of the supported signature algorithms. Symmetric keys are left out: a
/// published set must not contain any.
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
