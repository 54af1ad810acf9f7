//! A migrated database, a topic, and servers that work on them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plaudit_embedded::test_cluster;
use serde_json::{Value, json};

use crate::program::{Running, command, eventually, migrated, plaudit, text};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A migrated database, a topic, and the settings that name them.
pub struct Place {
    variables: Vec<(&'static str, String)>,
    pub topic: String,
    pub database: String,
}

impl Place {
    pub async fn prepare() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = migrated().await;
        let topic = test_cluster::create_topic("cli", 2).await;
        let variables = vec![
            ("PLAUDIT_DATABASE_URL", database.clone()),
            ("PLAUDIT_KAFKA_BROKERS", test_cluster::kafka_brokers().await),
            ("PLAUDIT_KAFKA_TOPICS", topic.clone()),
            ("PLAUDIT_KAFKA_GROUP", topic.clone()),
            ("PLAUDIT_HTTP_LISTEN", "127.0.0.1:0".to_owned()),
            ("PLAUDIT_AUTH_HS256_SECRET", SECRET.to_owned()),
        ];
        Self { variables, topic, database }
    }

    pub fn set(&mut self, name: &'static str, value: &str) {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.to_owned()));
    }

    pub fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let done = plaudit(arguments, &self.variables());
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    }

    /// Runs a command, and reads the JSON that it prints.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = self.run(&[arguments, &["--format", "json"]].concat());
        assert_eq!(code, Some(0), "{arguments:?}: {err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
    }

    /// Starts a server. Returns it with its address.
    pub async fn serve(&self, arguments: &[&str]) -> (Running, String) {
        let all = [&["serve"], arguments].concat();
        let mut server = Running::start(command(&all, &self.variables()));
        let line = server.line_with("listening on http://").await;
        let address = line.rsplit_once("http://").unwrap().1.to_owned();
        (server, format!("http://{address}"))
    }

    /// Runs `accept-new-topic`, again if the broker is too busy for its single request.
    pub async fn accept(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let arguments = [&["ingest", "accept-new-topic", self.topic.as_str()], arguments].concat();
        eventually("an answer of the broker", async || {
            Some(self.run(&arguments)).filter(|(_, _, error)| !error.contains("can't find out"))
        })
        .await
    }

    /// Runs `ingest status`, again if the broker is too busy for its single request.
    pub async fn ingest_status(&self, expected: Option<i32>) -> Value {
        eventually("the status of the topic", async || {
            let (code, out, _) = self.run(&["ingest", "status", "--format", "json"]);
            (code == expected).then(|| serde_json::from_str(&out).ok()).flatten()
        })
        .await
    }
}

pub async fn status_of(url: &str) -> u16 {
    reqwest::get(url).await.map_or(0, |answer| answer.status().as_u16())
}

pub fn token(roles: &[&str]) -> String {
    let expires = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(600);
    let claims = json!({"sub": "cli", "roles": roles, "exp": expires.as_secs()});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

pub async fn get(url: String) -> Value {
    let asked = reqwest::Client::new().get(&url).bearer_auth(token(&["auditor", "operator"]));
    let answer = asked.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{url}");
    answer.json().await.unwrap()
}
