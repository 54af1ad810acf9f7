//! The options of reading, and the settings of the Kafka client, each with its reason.

use std::collections::BTreeMap;
use std::time::Duration;

use plaudit_actions::sources::Sources;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// How records are read.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// The topics to read.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Makes this process a static member of the group under this name, so that after a restart it
    /// has its partitions again at once. No two running processes may have the same.
    pub instance_id: Option<String>,
    /// How the group divides its partitions.
    pub group_protocol: GroupProtocol,
    /// Properties of librdkafka, as TLS and SASL need them. They win over ours.
    pub properties: BTreeMap<String, String>,
    /// How many batches are applied at the same time. One per core keeps the database's cores and
    /// ours busy; more only wait for each other.
    pub workers: usize,
    /// How many records a batch has at most, over all workers.
    pub batch_max: usize,
    /// How long a record may wait for others that join its batch, while an earlier batch is applied.
    pub linger: Duration,
    /// An action further ahead of its record's timestamp is parked.
    pub future_tolerance: Duration,
    /// After this long without a sign of life, a member's partitions go to others. With
    /// [`GroupProtocol::Consumer`] the broker says how long, and this has no effect.
    pub session_timeout: Duration,
    /// How long a shutdown waits for batches that are being applied.
    pub drain_timeout: Duration,
}

/// How a consumer group divides its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupProtocol {
    /// By its members, which every broker supports.
    #[default]
    Classic,
    /// By the broker, which is faster and needs Kafka 4.0.
    ///
    /// # Source
    ///
    /// KIP-848, "The Next Generation of the Consumer Rebalance Protocol".
    Consumer,
}

impl IngestOptions {
    /// The defaults.
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
            // The shortest that a broker allows by default (group.min.session.timeout.ms): a killed
            // process is waited for this long.
            session_timeout: Duration::from_secs(6),
            // Less than the 10 s that the whole process has.
            drain_timeout: Duration::from_secs(6),
        }
    }

    /// These options with the topics that source files name among those to read.
    #[must_use]
    pub fn with_topics_of(mut self, sources: &Sources) -> Self {
        for mapped in sources.topics() {
            if !self.topics.iter().any(|known| known == mapped) {
                self.topics.push(mapped.to_owned());
            }
        }
        self
    }

    /// The settings of the consumer.
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
                // Two may be lost before the third comes too late.
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

    /// The settings of a client that asks the broker about topics and offsets, and joins no group.
    pub(crate) fn monitor_config(&self) -> ClientConfig {
        let mut config = self.client_config();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        // It asks for the group's offsets without being a member.
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

    /// The settings of a client that reads past records beside the live ones. It joins no group and commits
    /// nothing.
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
        // A misspelt topic is named, not made. Only `dev` creates topics.
        config.set("allow.auto.create.topics", "false");
        // A broker that is back is found within a second; the default is 10 s.
        config.set("reconnect.backoff.max.ms", "1000");
        // A network that drops connections silently is noticed between two requests as well.
        config.set("socket.keepalive.enable", "true");
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }
}

const BACKFILL: &[(&str, &str)] = &[
    // An offset that is gone is to be noticed.
    ("auto.offset.reset", "error"),
    ("enable.auto.offset.store", "false"),
    // It is in no hurry: a little memory is enough.
    ("queued.max.messages.kbytes", "4096"),
    ("queued.min.messages", "2000"),
    ("fetch.max.bytes", "2097152"),
    ("fetch.queue.backoff.ms", "50"),
    // A pause does not make it leave anything.
    ("max.poll.interval.ms", "86400000"),
];

const CONSUMER: &[(&str, &str)] = &[
    // An offset is stored once all that its records mean is committed, and not when it was read.
    ("enable.auto.offset.store", "false"),
    // What was stored is sent in the background. Late is harmless: records are known by their
    // offsets.
    ("enable.auto.commit", "true"),
    ("auto.commit.interval.ms", "1000"),
    // Where to begin is decided by us, and an offset that is gone is to be noticed.
    ("auto.offset.reset", "error"),
    // One consumer's records wait in this much memory at most, whatever the number of partitions.
    // The defaults, 64 MB and 100,000 records per partition, make memory jump when we fall behind.
    ("queued.max.messages.kbytes", "8192"),
    ("queued.min.messages", "4000"),
    // One answer of a broker, which may exceed the limit above by its whole size (default 50 MB).
    ("fetch.max.bytes", "8388608"),
    // A partition whose queue was full is fetched again after this, and not after a second, in
    // which the queue would run empty.
    ("fetch.queue.backoff.ms", "10"),
    // The same after an error, such as a leader that moved.
    ("fetch.error.backoff.ms", "100"),
    // The broker answers as soon as there is one byte: an action shows at once. With nothing to
    // read it is asked twice a second.
    ("fetch.min.bytes", "1"),
    ("fetch.wait.max.ms", "500"),
    // A topic that is missing, or has new partitions, is found within two seconds.
    ("topic.metadata.refresh.interval.ms", "2000"),
    // We poll at least once a second; a process that did not for so long hangs, and others take
    // over.
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
