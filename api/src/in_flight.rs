//! Bounds the bytes of all requests that are being read or applied, so that neither many large
//! posts nor a slow database fill the memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::{Answer, Problem};

/// The bytes charged for every request: its queue entry, its task, its answer.
const REQUEST_BYTES: usize = 4 * 1024;

/// The bound; see the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InFlight {
    left: Arc<Semaphore>,
    bytes_max: usize,
}

/// The share of one request, returned when it is dropped.
#[derive(Debug)]
pub struct Held {
    permit: OwnedSemaphorePermit,
    in_flight: InFlight,
}

impl InFlight {
    /// Allows at most `bytes_max` for all requests together.
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(Semaphore::MAX_PERMITS);
        Self { left: Arc::new(Semaphore::new(bytes_max)), bytes_max }
    }

    /// The bytes of a large request that are parsed and applied at a time: a small part of the
    /// bound, so that many requests share the memory.
    pub fn portion_bytes(&self) -> usize {
        self.bytes_max / 32
    }

    /// Takes the bytes that a portion of a request needs when it is parsed. A portion above the
    /// whole bound is too large.
    pub fn admit_portion(&self, bytes: usize) -> Answer<Held> {
        if bytes > self.bytes_max {
            return Err(Problem::TooLarge(format!(
                "an action would take {bytes} bytes when it is read; at most {} are there for all requests",
                self.bytes_max
            )));
        }
        Ok(Held { permit: self.take(bytes)?, in_flight: self.clone() })
    }

    /// Admits a request or refuses it at once: a waiting request would take memory too.
    pub fn admit(&self) -> Answer<Held> {
        let permit = self.take(REQUEST_BYTES)?;
        Ok(Held { permit, in_flight: self.clone() })
    }

    fn take(&self, bytes: usize) -> Answer<OwnedSemaphorePermit> {
        let permits = u32::try_from(bytes).ok();
        let taken = permits.and_then(|n| Arc::clone(&self.left).try_acquire_many_owned(n).ok());
        taken.ok_or_else(|| {
            metrics::counter!("plaudit_http_overload_refusals_total").increment(1);
            Problem::Unavailable("too many requests are being applied; try again")
        })
    }
}

impl Held {
    /// Takes more bytes, or refuses the request.
    pub fn grow(&mut self, bytes: usize) -> Answer<()> {
        self.permit.merge(self.in_flight.take(bytes)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let in_flight = InFlight::new(REQUEST_BYTES + 1_000);
        let mut first = in_flight.admit().unwrap();
        assert!(in_flight.admit().is_err());
        first.grow(1_000).unwrap();
        assert!(matches!(first.grow(1), Err(Problem::Unavailable(_))));
        drop(first);
        in_flight.admit().unwrap().grow(1_000).unwrap();
    }
}
