//! The settings of the broker, each with its reason.

use std::fmt::Write;
use std::path::Path;

const FIXED: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    // One node: there is nobody to replicate to.
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    // The defaults, 50 each, take seconds to create and to load.
    ("offsets.topic.num.partitions", "8"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.num.partitions", "4"),
    // A misspelt topic is an error, as it is in production. Only `dev` creates topics.
    ("auto.create.topics.enable", "false"),
    ("num.partitions", "4"),
    ("delete.topic.enable", "true"),
    // Nothing disappears unless a test makes it disappear.
    ("log.retention.ms", "-1"),
    // Both group protocols; clients choose.
    ("group.coordinator.rebalance.protocols", "classic,consumer"),
    // A consumer that starts is waited for by nobody, and a killed one for as short as it says.
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    // In the new protocol it is the broker that says how long (45 s by default).
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.session.timeout.ms", "6000"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.heartbeat.interval.ms", "1000"),
    // After a kill the controller waits this long for the broker's last life to end (default 9 s).
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "500"),
    // The default, 128 MiB, is a quarter of the heap; only __consumer_offsets is ever compacted.
    ("log.cleaner.dedupe.buffer.size", "8388608"),
    ("log.index.size.max.bytes", "1048576"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
];

/// The text of `server.properties`. Of two lines with one name, Java takes the later.
pub(super) fn server(
    data_dir: &Path,
    broker_port: u16,
    controller_port: u16,
    settings: &[(String, String)],
) -> String {
    let mut text = String::from("# Written at every start by plaudit-embedded: edits are lost.\n");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name}={value}"); // writing to a String can't fail
    };
    line("log.dirs", &data_dir.display().to_string());
    let broker = format!("PLAINTEXT://127.0.0.1:{broker_port}");
    line("listeners", &format!("{broker},CONTROLLER://127.0.0.1:{controller_port}"));
    line("advertised.listeners", &broker);
    // The older, static form of naming the controllers: the newer one stores the controller's port
    // in its data, and ours may be another at the next start.
    line("controller.quorum.voters", &format!("1@127.0.0.1:{controller_port}"));
    for (name, value) in FIXED {
        line(name, value);
    }
    for (name, value) in settings {
        line(name, value);
    }
    text
}

/// The text of `log4j2.properties`: warnings and the broker's own milestones, in files of 10 MB.
pub(super) fn logging(log: &Path) -> String {
    let log = log.display();
    format!(
        "\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %c{{1}} %m%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 2
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"
    )
}
