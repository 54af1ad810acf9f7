//! Brokers that require a login or TLS.

use std::path::Path;
use std::process::Command;

use plaudit_embedded::{Kafka, KafkaOptions, ScratchDir};
use plaudit_ingest::IngestOptions;

use crate::world::{World, eventually};

/// Creates a key and a self-signed certificate for 127.0.0.1. Returns the paths of the PEM files.
fn certificate(dir: &Path, name: &str) -> (String, String) {
    let file = |end: &str| dir.join(format!("{name}.{end}")).display().to_string();
    let (key, certificate) = (file("key"), file("pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", &key, "-out", &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (key, certificate)
}

/// Returns a PEM file as a value for `server.properties`.
fn one_line(file: &str) -> String {
    std::fs::read_to_string(file).unwrap().trim().replace('\n', "\\n")
}

/// Returns broker options that add a listener with a login and one with TLS to the plain one, and
/// the ports of both. `dir` holds the ports of an earlier start.
fn broker_options(dir: &Path, key: &str, certificate: &str) -> (KafkaOptions, u16, u16) {
    let kept = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap().trim().to_owned();
    let (plain, controller) = (kept("port"), kept("port.controller"));
    let free = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let (sasl, tls) = (free(), free());
    let listeners =
        format!("PLAINTEXT://127.0.0.1:{plain},LOGIN://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}");
    let jaas =
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_ann=\"right\";";
    let options = KafkaOptions::scratch()
        .with("listeners", &format!("{listeners},CONTROLLER://127.0.0.1:{controller}"))
        .with("advertised.listeners", &listeners)
        .with("controller.quorum.voters", &format!("1@127.0.0.1:{controller}"))
        .with(
            "listener.security.protocol.map",
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,LOGIN:SASL_PLAINTEXT,TLS:SSL",
        )
        .with("listener.name.login.sasl.enabled.mechanisms", "PLAIN")
        .with("listener.name.login.plain.sasl.jaas.config", jaas)
        .with("listener.name.tls.ssl.keystore.type", "PEM")
        .with("listener.name.tls.ssl.keystore.key", &one_line(key))
        .with("listener.name.tls.ssl.keystore.certificate.chain", &one_line(certificate));
    (options, sasl, tls)
}

/// Returns the problem as readiness and `ingest status` report it.
async fn refused(world: &World, port: u16, properties: &[(&str, &str)]) -> [String; 2] {
    let options = options(world, port, properties);
    let reader = world.read_with(options.clone());
    let reason = eventually("the reason is named", async || {
        reader.ready().err().filter(|reason| reason.contains("[kafka.properties]"))
    })
    .await;
    let status = eventually("status names the reason", async || {
        let error = plaudit_ingest::status::status(&options, &world.pool).await.err()?;
        Some(error.to_string()).filter(|error| error.contains("[kafka.properties]"))
    })
    .await;
    reader.stop().await;
    [reason, status]
}

fn options(world: &World, port: u16, properties: &[(&str, &str)]) -> IngestOptions {
    let properties = properties.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let brokers = format!("127.0.0.1:{port}");
    IngestOptions { brokers, properties: properties.collect(), ..world.options() }
}

#[tokio::test]
async fn a_wrong_password_and_a_wrong_authority_are_named_as_such() {
    let dir = ScratchDir::create("connecting").unwrap();
    let (key, right) = certificate(dir.path(), "right");
    let (_, wrong) = certificate(dir.path(), "wrong");
    let data = dir.path().join("kafka");
    Kafka::start(&data, KafkaOptions::scratch()).await.unwrap().stop().await;
    let (broker, sasl, tls) = broker_options(&data, &key, &right);
    let mut kafka = Kafka::start(&data, broker).await.unwrap();
    let world = World::new(1).await;

    let login = |password| {
        [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "ann"),
            ("sasl.password", password),
        ]
    };
    for reason in refused(&world, sasl, &login("wrong")).await {
        assert!(reason.contains("refuses the login"), "{reason}");
        assert!(!reason.contains("does not exist"), "{reason}");
    }
    let trust = |authority| {
        [
            ("security.protocol", "ssl"),
            ("ssl.ca.location", authority),
            // The host name check is not under test.
            ("ssl.endpoint.identification.algorithm", "none"),
        ]
    };
    for reason in refused(&world, tls, &trust(&wrong)).await {
        assert!(reason.contains("over TLS") && reason.contains("certificate"), "{reason}");
    }
    for (port, properties) in [(sasl, &login("right")[..]), (tls, &trust(&right)[..])] {
        let reader = world.read_with(options(&world, port, properties));
        // The topic belongs to another broker; the report that it is missing shows that this one
        // answered.
        reader.until_refused(&[&world.topic, "does not exist"]).await;
        reader.stop().await;
    }
    kafka.stop().await;
}

#[tokio::test]
async fn a_missing_authority_file_is_named_as_such() {
    let world = World::new(1).await;
    let missing = [("security.protocol", "ssl"), ("ssl.ca.location", "/nowhere/ca.pem")];
    let options = options(&world, 9, &missing);
    let error = plaudit_ingest::status::status(&options, &world.pool).await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("`ssl.ca.location`") && error.contains("/nowhere/ca.pem"), "{error}");
}
