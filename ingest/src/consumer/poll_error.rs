//! The errors of the Kafka client, and the reaction to each.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Polling;
use crate::health::Subject;

impl Polling {
    pub(super) fn poll_failed(&mut self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            // The client retries by itself; the topic monitor reports a missing broker or topic.
            Some(
                RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::InvalidTopic,
            ) => tracing::debug!(%error, "polling failed"),
            Some(RDKafkaErrorCode::PollExceeded) => {
                tracing::warn!(%error, "the group took our partitions because we did not poll in time");
            }
            Some(
                RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed,
            ) => {
                self.authorization_failed = true;
                let problem = format!("Kafka does not let us read: {error}");
                self.context.health.report(Subject::Consumer, problem);
            }
            // A record could not be fetched, or its offset is gone. librdkafka is then stuck until
            // it is given an offset.
            _ => {
                tracing::warn!(%error, "polling failed; every partition is verified again");
                self.needs_verification = true;
            }
        }
    }

    /// Notes that Kafka grants access. The client reports a denial once, and never its end: the end
    /// shows when a record arrives, or when there is none left to read.
    pub(super) fn authorized(&mut self) {
        if std::mem::take(&mut self.authorization_failed) {
            self.context.health.resolve(&Subject::Consumer);
        }
    }
}
