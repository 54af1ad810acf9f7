//! Where everything is and what to try.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use uuid::Uuid;

use super::traffic::USERS;
use crate::output::say;

/// What a running `plaudit dev` tells people on its terminal, and programs in `dev.json`.
pub struct Announcement<'a> {
    /// Where the API is.
    pub url: String,
    /// Where the broker is.
    pub brokers: &'a str,
    /// Where the database is, for the commands of an operator. With its password.
    pub database_url: &'a str,
    /// Where actions are read.
    pub topic: &'a str,
    /// A token by role.
    pub tokens: BTreeMap<&'static str, String>,
}

impl Announcement<'_> {
    /// The text of `dev.json`.
    pub fn json(&self) -> String {
        let Self { url, brokers, database_url, topic, tokens } = self;
        let described = json!({"url": url, "brokers": brokers, "database_url": database_url, "topic": topic,
            "tokens": tokens, "users": USERS});
        format!("{described:#}\n")
    }

    /// The same for people. `dir` is where the private services are.
    pub fn print(&self, dir: &Path) {
        let Self { url, brokers, topic, tokens, .. } = self;
        say!("API {url}");
        say!("Kafka {brokers} topic {topic}");
        for (role, token) in tokens {
            say!("Token {role} {token}");
        }
        let (user, client) = (USERS[0], tokens.get("client").map_or("", String::as_str));
        // A fresh id: under a known one the action would be a repeat and change nothing.
        let action = json!({"specversion": "1.0", "source": "/me", "id": Uuid::new_v4(), "type": "team.formed",
            "subject": user, "time": jiff::Timestamp::now(), "data": {}});
        let producer = console_producer(&dir.join("kafka"));
        say!("");
        say!("Try, in another terminal:");
        say!("  # 1. produce an action with Kafka's own client");
        say!("  echo '{action}' | {producer} --bootstrap-server {brokers} --topic {topic}");
        say!("  # 2. see {user}'s task screen");
        say!("  curl -s -H 'Authorization: Bearer {client}' {url}/v1/users/{user}/tasks");
        say!("  # 3. claim the reward of {user}'s first team");
        say!(
            "  curl -s -X POST -H 'Authorization: Bearer {client}' -H 'Idempotency-Key: try-1' {url}/v1/users/{user}/tasks/first-team/claim"
        );
        say!("");
        say!("Ready. Ctrl-C stops everything; the data stays under {}.", dir.display());
    }
}

/// How Kafka's producer is called: from the jars of the private broker, or, where there are none, as
/// a distribution of Kafka installs it.
fn console_producer(kafka_dir: &Path) -> String {
    match plaudit_embedded::kafka_programs(kafka_dir) {
        Ok((java, jars)) => format!(
            "{} -cp '{}/*' org.apache.kafka.tools.ConsoleProducer",
            java.display(),
            jars.display()
        ),
        Err(_) => "kafka-console-producer.sh".to_owned(),
    }
}

/// An address as a client on this machine reaches it.
pub fn url_of(address: SocketAddr) -> String {
    let port = address.port();
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{port}"),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{port}"),
        _ => format!("http://{address}"),
    }
}
