//! The reason why no broker can be used, in the words of the Kafka client.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// The latest connection error that says more than "no answer". The client reports such errors as
/// events, apart from the calls that fail because of them.
#[derive(Debug, Default)]
pub struct ConnectionError(Mutex<Option<(Instant, String)>>);

/// After this long without a repetition an error counts as over. The client retries once a second.
const REPEATED_WITHIN: Duration = Duration::from_secs(30);

impl ConnectionError {
    /// Stores an error that the client reports, if it names a cause.
    pub fn note(&self, error: &KafkaError, reason: &str) {
        // The elapsed time differs each time, and would make the same problem look new.
        let reason = reason.split(" (after ").next().unwrap_or(reason);
        let described = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                format!(
                    "refuses the login: {reason}; check the `sasl.` settings under [kafka.properties]"
                )
            }
            Some(RDKafkaErrorCode::SSL) => format!(
                "can't be reached over TLS: {reason}; check the `ssl.` settings under [kafka.properties]"
            ),
            _ if reason.contains("security.protocol") => {
                format!("ends connections: {reason}")
            }
            _ => return,
        };
        *self.lock() = Some((Instant::now(), described));
    }

    /// Describes why no broker in the list can be used.
    pub fn describe(&self, brokers: &str) -> String {
        let noted = self.lock();
        let recent = noted.as_ref().filter(|(at, _)| at.elapsed() < REPEATED_WITHIN);
        recent.map_or_else(
            || Self::no_answer(brokers),
            |(_, described)| format!("Kafka at {brokers} {described}"),
        )
    }

    /// Describes a failure without a known cause.
    pub fn no_answer(brokers: &str) -> String {
        format!("no Kafka broker answers at {brokers}")
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_more_than_that_nobody_answers_is_named() {
        let noted = ConnectionError::default();
        noted.note(&KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), "refused");
        assert_eq!(noted.describe("b:1"), "no Kafka broker answers at b:1");
        let reason = "sasl_plaintext://b:1/bootstrap: Authentication failed (after 3ms in state X)";
        noted.note(&KafkaError::Global(RDKafkaErrorCode::Authentication), reason);
        let described = noted.describe("b:1");
        assert!(described.contains("b:1 refuses the login: sasl_plaintext"), "{described}");
        assert!(described.contains("`sasl.`") && !described.contains("3ms"), "{described}");
        noted.note(&KafkaError::Global(RDKafkaErrorCode::SSL), "certificate verify failed");
        assert!(noted.describe("b:1").contains("TLS: certificate verify failed"));
    }
}
