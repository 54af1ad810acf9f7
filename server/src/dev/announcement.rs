//! The addresses, tokens and commands that `plaudit dev` prints.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use super::sample::Sample;
use crate::output::outln;

/// The file with the addresses and the tokens.
pub const VARIABLES: &str = "tokens.env";

/// The content of the announcement, on the terminal for people and in `dev.json` for programs.
pub struct Announcement<'a> {
    /// The address of the API.
    pub url: String,
    /// The address of the broker.
    pub brokers: &'a str,
    /// The address of the database, with its password, for the commands of an operator.
    pub database_url: &'a str,
    /// The topic of actions.
    pub topic: &'a str,
    /// A token by role.
    pub tokens: BTreeMap<&'static str, String>,
    /// The users to look at and the commands to try.
    pub sample: &'a Sample,
}

impl Announcement<'_> {
    /// The text of `dev.json`.
    pub fn json(&self) -> String {
        let Self { url, brokers, database_url, topic, tokens, sample } = self;
        let described = json!({"url": url, "brokers": brokers, "database_url": database_url, "topic": topic,
            "tokens": tokens, "users": sample.users});
        format!("{described:#}\n")
    }

    /// The addresses and the tokens as variables, to be read by a shell.
    pub fn shell_variables(&self) -> String {
        let Self { url, brokers, database_url, tokens, .. } = self;
        let tokens = tokens.iter().map(|(role, token)| (role.to_uppercase(), token.as_str()));
        let addresses = [
            ("URL", url.as_str()),
            ("BROKERS", brokers),
            ("export PLAUDIT_KAFKA_BROKERS", brokers),
            ("export PLAUDIT_DATABASE_URL", database_url),
        ];
        let addresses = addresses.into_iter().map(|(name, value)| (name.to_owned(), value));
        let line =
            |(name, value): (String, &str)| format!("{name}='{}'\n", value.replace('\'', "'\\''"));
        addresses.chain(tokens).map(line).collect()
    }

    /// Prints the announcement. `dir` holds the private services and the file with the variables.
    pub fn print(&self, dir: &Path) {
        let Self { url, brokers, topic, tokens, sample, .. } = self;
        outln!("API {url}");
        outln!("Kafka {brokers} topic {topic}");
        for (role, token) in tokens {
            outln!("Token {role} {token}");
        }
        let Sample { action, claimable, users, .. } = sample;
        let user = users.first().map_or("ann", String::as_str);
        let variables = dir.join(VARIABLES);
        let (variables, auth) = (variables.display(), "-H \"Authorization: Bearer $CLIENT\"");
        let producer = console_producer(&dir.join("kafka"));
        outln!("");
        outln!("Open {url}/");
        outln!("Try, in another terminal (produce an action, see the screen, claim the reward):");
        outln!("  echo '{action}' | {producer} --bootstrap-server {brokers} --topic {topic}");
        outln!("  . {variables}; curl -s {auth} $URL/v1/users/{user}/tasks");
        outln!(
            "  . {variables}; curl -s -X POST {auth} $URL/v1/users/{user}/tasks/{claimable}/claim"
        );
        outln!("");
        outln!("Ready. Ctrl-C stops everything; the data stays under {}.", dir.display());
    }
}

/// The command line of Kafka's producer: with the jars of the private broker if they exist, else
/// the script of a Kafka distribution.
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

/// The URL by which a client on this machine reaches an address.
pub fn url_of(address: SocketAddr) -> String {
    let port = address.port();
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => format!("http://127.0.0.1:{port}"),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => format!("http://[::1]:{port}"),
        _ => format!("http://{address}"),
    }
}
