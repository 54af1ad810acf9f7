//! The schemas of a registry: fetched once, kept compiled, bounded.
//!
//! Decoding blocks its thread; fetches and their deadlines run on the runtime. All callers that
//! need the same schema wait for one fetch. While the registry is known to be down nobody waits: an
//! attempt starts a fetch in the background and fails at once, until a fetch succeeds.

mod client;
mod kept;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use plaudit_actions::formats::{DecodeError, Decoder, Format, Unavailable};
use serde_json::Value as Json;
use tokio::runtime::Handle;

use crate::avro;
use crate::schema::Schema;
use crate::wire;
use client::{Client, FetchError};
use kept::{Kept, Lookup};

pub use client::InvalidUrl;

/// Time limit for fetching a schema with all that it refers to. It bounds how long one new schema
/// holds up the other partitions of its thread, and how late `/readyz` names a registry that does
/// not answer.
const FETCH_MAX: Duration = Duration::from_secs(3);
/// Time limit for a caller that waits for a schema. Longer than [`FETCH_MAX`], since compiling
/// comes after fetching.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Minimum time between a failed fetch and the next one.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A schema registry. Cheap to clone.
#[derive(Clone)]
pub struct SchemaRegistry {
    shared: Arc<Shared>,
    runtime: Handle,
}

struct Shared {
    client: Client,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    kept: Kept,
    /// Set by a fetch that failed, and cleared by one that was answered.
    down: Option<Down>,
}

struct Down {
    why: String,
    since: Instant,
}

impl std::fmt::Debug for SchemaRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SchemaRegistry").field(&self.shared.client.shown_url()).finish()
    }
}

impl SchemaRegistry {
    /// Makes a client of the registry at `url`, which may hold a user and a password. Its fetches
    /// run on `runtime`.
    pub fn new(url: &str, runtime: Handle) -> Result<Self, InvalidUrl> {
        avro::set_bounds();
        let shared =
            Shared { client: Client::new(url)?, state: Mutex::default(), changed: Condvar::new() };
        Ok(Self { shared: Arc::new(shared), runtime })
    }

    /// Returns the schema of this number. Blocks the current thread until it is there.
    fn schema(&self, id: u32) -> Result<Arc<Schema>, DecodeError> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut state = self.shared.lock();
        loop {
            match state.kept.look_up(id) {
                Lookup::Ready(schema) => return Ok(schema),
                Lookup::Refused(why) => return Err(DecodeError::Unreadable(why)),
                Lookup::Fetching => {}
                Lookup::Unknown => {
                    if let Some(down) = &state.down
                        && down.since.elapsed() < RETRY_AFTER
                    {
                        return Err(Unavailable(down.why.clone()).into());
                    }
                    state.kept.begin(id);
                    self.fetch(id);
                }
            }
            if let Some(down) = &state.down {
                return Err(Unavailable(down.why.clone()).into());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = self.shared.client.unavailable("it gives no answer");
                return Err(Unavailable(why).into());
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Fetches and compiles a schema in the background.
    fn fetch(&self, id: u32) {
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let fetched = tokio::time::timeout(FETCH_MAX, shared.client.fetch(id)).await;
            let fetched = fetched.unwrap_or_else(|_| {
                let why = format!("no answer within {} s", FETCH_MAX.as_secs());
                Err(FetchError::Unavailable(shared.client.unavailable(why)))
            });
            let compiled = match fetched {
                Ok(text) => tokio::task::spawn_blocking(move || Schema::compile(&text))
                    .await
                    .unwrap_or_else(|_| Err("an internal error".to_owned()))
                    .map_err(|why| FetchError::Refused(format!("can't be compiled: {why}"))),
                Err(error) => Err(error),
            };
            shared.note(id, compiled);
        });
    }
}

impl Shared {
    fn note(&self, id: u32, fetched: Result<Schema, FetchError>) {
        let outcome = match &fetched {
            Ok(_) => "fetched",
            Err(FetchError::Refused(_)) => "refused",
            Err(FetchError::Unavailable(_)) => "unavailable",
        };
        metrics::counter!("plaudit_schema_fetches_total", "outcome" => outcome).increment(1);
        let mut state = self.lock();
        state.down = None;
        match fetched {
            Ok(schema) => state.kept.keep(id, Arc::new(schema)),
            Err(FetchError::Refused(why)) => {
                let why = format!("schema {id} of {}: {why}", self.client.shown_url());
                state.kept.refuse(id, why);
            }
            Err(FetchError::Unavailable(why)) => {
                state.kept.forget(id);
                state.down = Some(Down { why, since: Instant::now() });
            }
        }
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Decoder for SchemaRegistry {
    fn decode(&self, format: Format, value: &[u8]) -> Result<Json, DecodeError> {
        let (id, bytes) = wire::schema_id(value).map_err(DecodeError::Unreadable)?;
        let schema = self.schema(id)?;
        schema.decode(format, bytes).map_err(|why| {
            DecodeError::Unreadable(format!("the value can't be decoded by schema {id}: {why}"))
        })
    }
}
