//! The settings of the broker, with their reasons.

use std::fmt::Write;
use std::path::Path;

const FIXED: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    // A single node has no other to replicate to.
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    // The default is 50 partitions each, which take seconds to create and to load.
    ("offsets.topic.num.partitions", "8"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.num.partitions", "4"),
    // A misspelt topic is an error, as in production. Only `dev` creates topics.
    ("auto.create.topics.enable", "false"),
    ("num.partitions", "4"),
    ("delete.topic.enable", "true"),
    // Records disappear only if a test deletes them.
    ("log.retention.ms", "-1"),
    // Allows both group protocols; clients choose.
    ("group.coordinator.rebalance.protocols", "classic,consumer"),
    // The group does not wait for further members, and a killed one may have a short session
    // timeout.
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    // In the new protocol, the broker sets the session timeout (default 45 s).
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.session.timeout.ms", "6000"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.heartbeat.interval.ms", "1000"),
    // After a kill, the controller waits this long for the broker's previous session to end
    // (default 9 s).
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "500"),
    // The default, 128 MiB, is a quarter of the heap, and only __consumer_offsets is compacted.
    ("log.cleaner.dedupe.buffer.size", "8388608"),
    ("log.index.size.max.bytes", "1048576"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
];

/// Returns the text of `server.properties`. Later lines override earlier ones of the same name.
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
    // The older, static list of controllers. The newer form stores the controller's port in the
    // data, but the port may change at the next start.
    line("controller.quorum.voters", &format!("1@127.0.0.1:{controller_port}"));
    for (name, value) in FIXED {
        line(name, value);
    }
    for (name, value) in settings {
        line(name, value);
    }
    text
}

/// Returns the text of `log4j2.properties`: warnings and the broker's main events, in files of 10
/// MB.
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
