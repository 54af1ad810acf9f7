//! The errors of the Kafka client, and what follows from each.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Polling;
use crate::health::Subject;

impl Polling {
    pub(super) fn poll_failed(&mut self, error: &KafkaError) {
        match error.rdkafka_error_code() {
            // Its own attempts go on; the topic monitor says whether a broker or a topic is missing.
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
            // A record could not be fetched, or its offset is gone. After that librdkafka stands
            // still until it is told where to go on.
            _ => {
                tracing::warn!(%error, "polling failed; every partition is verified again");
                self.needs_verification = true;
            }
        }
    }

    /// Notes that Kafka lets us read. Its client reports a refusal once and never that it is over: a
    /// record shows that, or that none is left to read.
    pub(super) fn authorized(&mut self) {
        if std::mem::take(&mut self.authorization_failed) {
            self.context.health.resolve(&Subject::Consumer);
        }
    }
}
