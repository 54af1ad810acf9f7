//! Every setting, with unit, default and meaning. `docs/operations.md` is checked against this.

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Path in the file. The name of the environment variable is derived from it.
    pub path: &'static str,
    /// The value if the setting is not set; `None` for none.
    pub default: Option<&'static str>,
    /// The kind of value that it takes.
    pub kind: Kind,
    /// Description for `plaudit config --help-settings`.
    pub meaning: &'static str,
    /// True if the value is never shown.
    pub secret: bool,
}

/// The kind of value that a setting takes.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// A comma list.
    List,
    /// A whole number in a range.
    Number(u32, u32),
    /// An exact ISO 8601 duration such as `PT5M`.
    Duration,
    /// An address and port to listen on.
    Address,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Channels of rewards, as a JSON array.
    Channels,
}

impl Kind {
    /// The unit, for documentation.
    pub fn unit(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::List => "comma list".to_owned(),
            Self::Number(from, to) => format!("number {from}–{to}"),
            Self::Duration => "ISO 8601 duration".to_owned(),
            Self::Address => "address:port".to_owned(),
            Self::OneOf(words) => words.join(" | "),
            Self::Channels => "tables, or a JSON array".to_owned(),
        }
    }
}

impl Setting {
    /// Checks a value. The error says what is expected.
    pub fn accepts(&self, text: &str) -> Result<(), String> {
        if matches!(self.kind, Kind::Channels) {
            let faults = plaudit_delivery::Channels::parse(text).err();
            return faults.map_or(Ok(()), |faults| Err(faults.join("; ")));
        }
        let fits = match self.kind {
            Kind::Text | Kind::List | Kind::Channels => true,
            Kind::Number(from, to) => text.parse::<u32>().is_ok_and(|n| (from..=to).contains(&n)),
            Kind::Duration => plaudit_domain::duration::seconds(text).is_ok(),
            Kind::Address => is_address(text),
            Kind::OneOf(words) => words.contains(&text),
        };
        if fits { Ok(()) } else { Err(format!("a value of the kind: {}", self.kind.unit())) }
    }
}

/// An IP address or a name, and a port.
fn is_address(text: &str) -> bool {
    let is_name = |host: &str| !host.is_empty() && !host.contains([':', '/', '[', ']']);
    let named = |(host, port): (&str, &str)| is_name(host) && port.parse::<u16>().is_ok();
    text.parse::<std::net::SocketAddr>().is_ok() || text.rsplit_once(':').is_some_and(named)
}

const fn setting(
    path: &'static str,
    default: Option<&'static str>,
    kind: Kind,
    meaning: &'static str,
) -> Setting {
    Setting { path, default, kind, meaning, secret: false }
}

/// Every setting, in the order of documentation.
pub const SETTINGS: &[Setting] = &[
    setting(
        "database.url",
        None,
        Kind::Text,
        "PostgreSQL, e.g. postgres://plaudit@db.internal/plaudit",
    ),
    setting(
        "database.connections_max",
        Some("16"),
        Kind::Number(8, 1000),
        "connections of one process; `ingest.workers` + 2 of them are kept for writing, the others, at least 5, are for reading",
    ),
    setting(
        "database.startup_timeout",
        Some("PT30S"),
        Kind::Duration,
        "how long the start tries to reach the database before it gives up",
    ),
    setting(
        "database.lanes",
        Some("64"),
        Kind::Number(1, 1024),
        "lanes of a new database, a power of two; fixed once it is migrated",
    ),
    setting(
        "kafka.brokers",
        None,
        Kind::Text,
        "addresses of the brokers, e.g. kafka-1:9092,kafka-2:9092",
    ),
    setting("kafka.topics", Some("plaudit.actions"), Kind::List, "topics with actions"),
    setting("kafka.group", Some("plaudit"), Kind::Text, "the consumer group"),
    setting(
        "kafka.instance_id",
        None,
        Kind::Text,
        "static membership: unique per process and kept over restarts, so that a restart does not wait for the dead member",
    ),
    setting(
        "kafka.group_protocol",
        Some("classic"),
        Kind::OneOf(&["classic", "consumer"]),
        "`classic`, or `consumer` (KIP-848, brokers from 4.0)",
    ),
    setting(
        "kafka.rewards_topic",
        Some("plaudit.rewards"),
        Kind::Text,
        "where granted rewards are published",
    ),
    setting(
        "kafka.events_topic",
        None,
        Kind::Text,
        "where all stored events are published, e.g. plaudit.events; not set: nowhere",
    ),
    Setting {
        path: "rewards.channels",
        default: Some("[]"),
        kind: Kind::Channels,
        meaning: "which rewards go to which payer, and how it confirms; see docs/rewards.md",
        secret: true,
    },
    setting(
        "http.listen",
        Some("127.0.0.1:8080"),
        Kind::Address,
        "address of the HTTP server: the API, or the health paths alone in a process without the role `api`",
    ),
    setting(
        "http.connections_max",
        Some("8192"),
        Kind::Number(16, 1_000_000),
        "open HTTP connections; beyond, the one that has waited longest for a request is closed",
    ),
    setting(
        "http.in_flight_bytes_max",
        Some("67108864"),
        Kind::Number(17_825_792, u32::MAX),
        "bytes of all request bodies that are being read or applied, actions with what they take when they are parsed; beyond, requests get 503 at once",
    ),
    setting(
        "http.cors_origins",
        None,
        Kind::List,
        "origins whose pages in a browser may call the API, e.g. https://app.example; `*`: all",
    ),
    Setting {
        path: "auth.hs256_secret",
        default: None,
        kind: Kind::Text,
        meaning: "shared secret of HS256 tokens; 32 bytes or more (RFC 7518, 3.2)",
        secret: true,
    },
    setting(
        "auth.jwks",
        None,
        Kind::Text,
        "file or URL of a JSON Web Key Set, for RS256, ES256 and EdDSA tokens",
    ),
    setting(
        "auth.audience",
        None,
        Kind::Text,
        "what the `aud` of a token must be or contain; not set: it is not checked",
    ),
    setting(
        "auth.issuer",
        None,
        Kind::Text,
        "what the `iss` of a token must be; not set: it is not checked",
    ),
    setting("sources", Some("sources"), Kind::Text, "folder of source files; may be absent"),
    setting(
        "schema_registry",
        None,
        Kind::Text,
        "URL of the schema registry, for source files of the formats avro, protobuf and json-schema",
    ),
    setting(
        "future_tolerance",
        Some("PT5M"),
        Kind::Duration,
        "how far an action's time may be after its record's timestamp",
    ),
    setting(
        "ingest.workers",
        Some("2"),
        Kind::Number(1, 64),
        "batches that are applied at once; about one per core",
    ),
    setting(
        "ingest.batch_max",
        Some("4096"),
        Kind::Number(1, 100_000),
        "records that are read before they are applied",
    ),
    setting(
        "backfill.records_per_second",
        Some("5000"),
        Kind::Number(1, 1_000_000),
        "the most records that the backfill of one process reads in a second; live actions go first in any case",
    ),
    setting(
        "log.level",
        Some("info,sqlx=warn,librdkafka=off"),
        Kind::Text,
        "filter of the log, e.g. debug or plaudit_ingest=debug,info; Plaudit itself reports what librdkafka finds",
    ),
    setting(
        "log.format",
        Some("text"),
        Kind::OneOf(&["text", "json"]),
        "how the log is written, on standard error",
    ),
];
