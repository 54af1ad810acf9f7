//! The options of the reader, and the settings of the Kafka client with their reasons.

use std::collections::BTreeMap;
use std::time::Duration;

use plaudit_actions::sources::Sources;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// The options of the reader.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// The topics to read.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Makes this process a static member of the group under this name, so that it gets its
    /// partitions back at once after a restart. Must be unique among the running processes.
    pub instance_id: Option<String>,
    /// The protocol by which the group divides its partitions.
    pub group_protocol: GroupProtocol,
    /// Properties of librdkafka, for example for TLS and SASL. They override Plaudit's own.
    pub properties: BTreeMap<String, String>,
    /// The number of batches applied at the same time. One per core keeps the cores of the database
    /// and of this process busy; more only wait for each other.
    pub workers: usize,
    /// The most records of a batch, over all workers.
    pub batch_max: usize,
    /// The longest time for which a record waits for others to join its batch while an earlier
    /// batch is applied.
    pub linger: Duration,
    /// An action is parked if its time is further than this after its record's timestamp.
    pub future_tolerance: Duration,
    /// Time without a heartbeat after which a member's partitions go to others. With
    /// [`GroupProtocol::Consumer`] the broker sets it, and this has no effect.
    pub session_timeout: Duration,
    /// Time limit for batches in flight at a shutdown.
    pub drain_timeout: Duration,
}

/// The protocol by which a consumer group divides its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// The members divide them. Supported by every broker.
    #[default]
    Classic,
    /// The broker divides them. Faster, but needs Kafka 4.0.
    ///
    /// # Source
    ///
    /// KIP-848, "The Next Generation of the Consumer Rebalance Protocol".
    Consumer,
}

impl IngestOptions {
    /// Returns the default options.
    pub fn new(brokers: impl Into<String>, topics: Vec<String>, group: impl Into<String>) -> Self {
        Self {
            brokers: brokers.into(),
            topics,
            group: group.into(),
            instance_id: None,
            group_protocol: GroupProtocol::default(),
            properties: BTreeMap::new(),
            workers: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
            batch_max: 4096,
            linger: Duration::from_millis(5),
            future_tolerance: Duration::from_secs(5 * 60),
            // The shortest that a broker allows by default (group.min.session.timeout.ms). After a
            // process was killed, its partitions stand still for this long.
            session_timeout: Duration::from_secs(6),
            // Less than the 10 s that the whole process may take to stop.
            drain_timeout: Duration::from_secs(6),
        }
    }

    /// Adds the topics of the source files to those to read.
    #[must_use]
    pub fn with_topics_of(mut self, sources: &Sources) -> Self {
        for mapped in sources.topics() {
            if !self.topics.iter().any(|known| known == mapped) {
                self.topics.push(mapped.to_owned());
            }
        }
        self
    }

    /// Returns the settings of the consumer.
    pub(crate) fn consumer_config(&self) -> ClientConfig {
        let mut config = self.client_config();
        for (name, value) in CONSUMER {
            config.set(*name, *value);
        }
        match self.group_protocol {
            GroupProtocol::Classic => {
                let session = self.session_timeout;
                config.set("group.protocol", "classic");
                // Every topic is shared by all members. `cooperative-sticky` evens out the number
                // of partitions only, and leaves all of a large topic on one member. The price: a
                // member that comes or goes stops all partitions for a moment, not only those that
                // move.
                config.set("partition.assignment.strategy", "roundrobin");
                config.set("session.timeout.ms", session.as_millis().to_string());
                // Two heartbeats may be lost before the third comes too late.
                config.set("heartbeat.interval.ms", (session / 3).as_millis().to_string());
            }
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer");
                // The broker's other assignor, `uniform`, evens out the number of partitions only.
                config.set("group.remote.assignor", "range");
            }
        }
        if let Some(id) = &self.instance_id {
            config.set("group.instance.id", id);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// Returns the settings of a client that asks the broker about topics and offsets, without
    /// joining a group.
    pub(crate) fn monitor_config(&self) -> ClientConfig {
        let mut config = self.client_config();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        // This client asks for the group's offsets without being a member.
        config.set("enable.auto.commit", "false");
        for name in [
            "group.instance.id",
            "group.protocol",
            "group.remote.assignor",
            "session.timeout.ms",
            "heartbeat.interval.ms",
        ] {
            config.remove(name);
        }
        config
    }

    /// Returns the settings of a client that reads past records beside the live ones. It joins no
    /// group and commits nothing.
    pub(crate) fn backfill_config(&self) -> ClientConfig {
        let mut config = self.monitor_config();
        for (name, value) in BACKFILL {
            config.set(*name, *value);
        }
        config
    }

    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("group.id", &self.group);
        config.set("client.id", "plaudit");
        // A misspelt topic must be reported, not created. Only `dev` creates topics.
        config.set("allow.auto.create.topics", "false");
        // Finds a broker that is back within a second; the default is 10 s.
        config.set("reconnect.backoff.max.ms", "1000");
        // Also notices between two requests that a network drops connections silently.
        config.set("socket.keepalive.enable", "true");
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

const BACKFILL: &[(&str, &str)] = &[
    // A removed offset must be noticed.
    ("auto.offset.reset", "error"),
    ("enable.auto.offset.store", "false"),
    // Backfills are in no hurry, so a little memory is enough.
    ("queued.max.messages.kbytes", "4096"),
    ("queued.min.messages", "2000"),
    ("fetch.max.bytes", "2097152"),
    ("fetch.queue.backoff.ms", "50"),
    // A pause must not end the client's reading.
    ("max.poll.interval.ms", "86400000"),
];

const CONSUMER: &[(&str, &str)] = &[
    // An offset is stored once the work of its records is committed, not when they are read.
    ("enable.auto.offset.store", "false"),
    // Stored offsets are sent in the background. A delay is harmless, since records are recognised
    // by their offsets.
    ("enable.auto.commit", "true"),
    ("auto.commit.interval.ms", "1000"),
    // Plaudit decides where to begin, and must notice a removed offset.
    ("auto.offset.reset", "error"),
    // The most memory for one consumer's waiting records, whatever the number of partitions. With
    // the defaults, 64 MB and 100,000 records per partition, memory use jumps when reading falls
    // behind.
    ("queued.max.messages.kbytes", "8192"),
    ("queued.min.messages", "4000"),
    // The size of one answer of a broker, which may exceed the limit above (default 50 MB).
    ("fetch.max.bytes", "8388608"),
    // Time after which a partition whose queue was full is fetched again. With the default, a
    // second, the queue would run empty.
    ("fetch.queue.backoff.ms", "10"),
    // Time after which a fetch is repeated that failed, for example because a leader moved.
    ("fetch.error.backoff.ms", "100"),
    // The broker answers as soon as there is one byte, so that an action shows at once. With
    // nothing to read it is asked twice a second.
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "500"),
    // Finds a new topic or new partitions within two seconds.
    ("topic.metadata.refresh.interval.ms", "2000"),
    // The process polls at least once a second. One that has not polled for this long hangs, and
    // others take over.
    ("max.poll.interval.ms", "60000"),
    ("enable.partition.eof", "false"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> IngestOptions {
        IngestOptions::new("localhost:9092", vec!["t".into()], "g")
    }

    #[test]
    fn the_operators_properties_win_over_ours() {
        let properties = BTreeMap::from([("fetch.wait.max.ms".to_owned(), "50".to_owned())]);
        let config = IngestOptions { properties, ..options() }.consumer_config();
        assert_eq!(config.get("fetch.wait.max.ms"), Some("50"));
        assert_eq!(config.get("socket.keepalive.enable"), Some("true"));
    }

    #[test]
    fn what_the_broker_decides_is_not_set() {
        let group_protocol = GroupProtocol::Consumer;
        let config = IngestOptions { group_protocol, ..options() }.consumer_config();
        for name in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"]
        {
            assert_eq!(config.get(name), None, "{name}");
        }
    }

    #[test]
    fn both_protocols_make_a_consumer() {
        for group_protocol in [GroupProtocol::Classic, GroupProtocol::Consumer] {
            let options = IngestOptions { group_protocol, ..options() };
            let consumer: Result<rdkafka::consumer::BaseConsumer, _> =
                options.consumer_config().create();
            consumer.unwrap();
        }
    }
}
