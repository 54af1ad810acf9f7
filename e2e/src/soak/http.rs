//! The API as clients see it, spread over all instances.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::{Client, RequestBuilder, Url};
use serde_json::{Value, json};

use super::error::SoakError;

/// The key with which all instances verify tokens.
pub const SECRET: &str = "the soak's own secret, known to nobody else";

/// Time limit for an answer. Longer than any bounded wait of the server.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Time for which a client retries after failures that may pass.
const RETRY_MAX: Duration = Duration::from_secs(90);

/// The status and the body.
pub type Answer = (u16, Value);

/// An HTTP client with a token for each role.
#[derive(Debug)]
pub struct Api {
    client: Client,
    bases: Vec<Url>,
    turn: AtomicUsize,
    client_token: String,
    operator_token: String,
    producer_token: String,
}

impl Api {
    /// Creates a client for the instances at these addresses.
    pub fn new(listens: &[String]) -> Result<Self, SoakError> {
        // The client requires a provider even though it never uses TLS here. A second call only
        // returns an error.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let broken = |error: &dyn std::fmt::Display| SoakError::Broken(error.to_string());
        let client = Client::builder().timeout(ANSWER_MAX).no_proxy().build();
        let base = |listen: &String| Url::parse(&format!("http://{listen}/"));
        Ok(Self {
            client: client.map_err(|e| broken(&e))?,
            bases: listens.iter().map(base).collect::<Result<_, _>>().map_err(|e| broken(&e))?,
            turn: AtomicUsize::new(0),
            client_token: token("client").map_err(|e| broken(&e))?,
            operator_token: token("operator").map_err(|e| broken(&e))?,
            producer_token: token("producer").map_err(|e| broken(&e))?,
        })
    }

    /// Sends `GET` to one instance once, without a token.
    pub async fn probe(&self, instance: usize, path: &str) -> Result<(u16, String), String> {
        let mut url = self.bases[instance].clone();
        url.set_path(path);
        let response = self.client.get(url).send().await.map_err(|e| whole(&e))?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(|e| whole(&e))?))
    }

    /// Sends `GET` as a client to any instance, once.
    pub async fn get(&self, path: &[&str], query: &[(&str, String)]) -> Result<Answer, String> {
        let url = self.url(path, query);
        send(self.client.get(url).bearer_auth(&self.client_token)).await
    }

    /// Sends `GET` as an operator to any instance, once.
    pub async fn get_as_operator(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<Answer, String> {
        let url = self.url(path, query);
        send(self.client.get(url).bearer_auth(&self.operator_token)).await
    }

    /// Sends `POST` as an operator to any instance, once.
    pub async fn post_as_operator(&self, path: &[&str]) -> Result<Answer, String> {
        let url = self.url(path, &[]);
        send(self.client.post(url).bearer_auth(&self.operator_token)).await
    }

    /// Sends `POST /v1/actions` as a producer to any instance, once.
    pub async fn post_actions(&self, actions: &[Value]) -> Result<Answer, String> {
        let request = self.client.post(self.url(&["v1", "actions"], &[]));
        send(request.bearer_auth(&self.producer_token).json(actions)).await
    }

    /// Sends `POST …/claim` until an answer is final. All attempts use the same key.
    pub async fn claim(
        &self,
        user: &str,
        task: &str,
        body: &Value,
        idempotency_key: &str,
    ) -> Result<Answer, String> {
        let path = ["v1", "users", user, "tasks", task, "claim"];
        let deadline = Instant::now() + RETRY_MAX;
        loop {
            let request = self.client.post(self.url(&path, &[])).bearer_auth(&self.client_token);
            let request = request.header("idempotency-key", idempotency_key).json(body);
            match send(request).await {
                Ok(answer) if answer.0 < 500 => return Ok(answer),
                other if Instant::now() > deadline => return other,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Builds a URL on the next instance in turn, so that a retry reaches another one.
    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut url = self.bases[turn % self.bases.len()].clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

async fn send(request: RequestBuilder) -> Result<Answer, String> {
    let response = request.send().await.map_err(|e| whole(&e))?;
    let status = response.status().as_u16();
    let text = response.text().await.map_err(|e| whole(&e))?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// Returns an error with its causes; reqwest's own text is only the outermost.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Signs a token. It may act for every user, like a game's backend.
fn token(role: &str) -> Result<String, jsonwebtoken::errors::Error> {
    let expires = Timestamp::now().as_second() + 24 * 3600;
    let claims = json!({"sub": "soak", "roles": [role], "exp": expires, "act_for": "*"});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
}
