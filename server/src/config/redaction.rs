//! Hides secrets in values that `plaudit config` and errors show: everything that is not known to
//! be harmless.

use super::{KAFKA_PROPERTIES, SETTINGS};

/// Replaces a hidden value.
const HIDDEN: &str = "***";

/// Properties of librdkafka whose values are not secret. All others are hidden: passwords, keys,
/// SASL configuration, and whatever later versions add.
///
/// Source: librdkafka 2.12, `CONFIGURATION.md`.
const HARMLESS_PROPERTIES: &[&str] = &[
    "acks",
    "allow.auto.create.topics",
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "batch.num.messages",
    "batch.size",
    "bootstrap.servers",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "debug",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.metrics.push",
    "enable.partition.eof",
    "enable.random.seed",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "internal.termination.signal",
    "isolation.level",
    "linger.ms",
    "log.connection.close",
    "log.queue",
    "log.thread.name",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.copy.max.bytes",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "partition.assignment.strategy",
    "partitioner",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "security.protocol",
    "session.timeout.ms",
    "socket.blocking.max.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.providers",
    "ssl.sigalgs.list",
    "statistics.interval.ms",
    "sticky.partitioning.linger.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
];

/// Parameters of a database address whose values are not secret.
const HARMLESS_PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

/// Returns a value for display, hidden if it may be secret.
pub fn redacted(path: &str, text: &str) -> String {
    let is_harmless = match path.strip_prefix(KAFKA_PROPERTIES) {
        Some(property) => HARMLESS_PROPERTIES.contains(&property),
        None => SETTINGS.iter().any(|setting| setting.path == path && !setting.secret),
    };
    match text {
        "" => String::new(),
        // An empty list holds no secrets.
        "[]" => text.to_owned(),
        _ if !is_harmless => HIDDEN.to_owned(),
        _ if text.contains("://") => without_credentials(text),
        _ => text.to_owned(),
    }
}

/// Hides the password of an address, and parameters that are not known to be harmless. An address
/// that can't be parsed is hidden as a whole: its password might be anywhere.
fn without_credentials(text: &str) -> String {
    let Ok(mut address) = text.parse::<reqwest::Url>() else { return HIDDEN.to_owned() };
    if address.password().is_some() && address.set_password(Some(HIDDEN)).is_err() {
        return HIDDEN.to_owned();
    }
    if let Some(query) = address.query() {
        let shown = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if HARMLESS_PARAMETERS.contains(&name) => pair.to_owned(),
            Some((name, _)) => format!("{name}={HIDDEN}"),
            None => HIDDEN.to_owned(),
        });
        let shown = shown.collect::<Vec<_>>().join("&");
        address.set_query(Some(&shown));
    }
    if address.fragment().is_some() {
        address.set_fragment(Some(HIDDEN));
    }
    address.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_harmless_is_shown() {
        let shown = |name: &str| redacted(&format!("{KAFKA_PROPERTIES}{name}"), "value");
        for secret in [
            "sasl.password",
            "sasl.username",
            "sasl.jaas.config",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.kerberos.kinit.cmd",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.password",
            "ssl.certificate.pem",
            "ssl_key",
            "invented.token",
        ] {
            assert_eq!(shown(secret), HIDDEN, "{secret}");
        }
        assert_eq!(shown("security.protocol"), "value");
        assert_eq!(redacted("auth.hs256_secret", "value"), HIDDEN);
        assert_eq!(redacted("kafka.group", "value"), "value");
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        for (given, expected) in [
            ("postgres://me:pass@h/db", "postgres://me:***@h/db"),
            ("postgres://h/db?user=me&password=hunter2", "postgres://h/db?user=me&password=***"),
            (
                "postgres://h/db?sslpassword=x&sslmode=require",
                "postgres://h/db?sslpassword=***&sslmode=require",
            ),
            ("postgres://h/db?password=a@b", "postgres://h/db?password=***"),
            ("postgres://me:a?b@h/db", HIDDEN),
            ("postgres://h/db", "postgres://h/db"),
            ("https://id.example/keys?token=x", "https://id.example/keys?token=***"),
        ] {
            assert_eq!(redacted("database.url", given), expected);
        }
    }
}
