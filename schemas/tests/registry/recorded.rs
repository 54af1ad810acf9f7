//! A test registry with recorded answers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use plaudit_actions::formats::{DecodeError, Decoder as _, Format};
use plaudit_schemas::SchemaRegistry;
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

pub fn recorded() -> BTreeMap<String, Answer> {
    serde_json::from_str(include_str!("apicurio-3.0.9.json")).unwrap()
}

/// A registry at a port of its own.
pub struct Recorded {
    pub url: String,
    /// The paths that were asked for, in order.
    pub asked: Arc<Mutex<Vec<String>>>,
    /// While set, requests get no answer.
    pub hangs: Arc<AtomicBool>,
    serving: JoinHandle<()>,
}

impl Recorded {
    pub async fn start() -> Self {
        Self::answering(recorded(), "127.0.0.1:0").await
    }

    pub async fn answering(answers: BTreeMap<String, Answer>, address: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let hangs: Arc<AtomicBool> = Arc::default();
        let (noted, silent) = (Arc::clone(&asked), Arc::clone(&hangs));
        let answer = move |uri: Uri| {
            let (noted, silent, answers) =
                (Arc::clone(&noted), Arc::clone(&silent), answers.clone());
            async move {
                noted.lock().unwrap().push(uri.path().to_owned());
                if silent.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                given(answers.get(uri.path()))
            }
        };
        let router = Router::new().fallback(answer);
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, asked, hangs, serving }
    }

    pub fn asked_for(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn given(answer: Option<&Answer>) -> Response {
    match answer {
        Some(Answer { status, body }) => {
            (StatusCode::from_u16(*status).unwrap(), body.clone()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub fn registry(url: &str) -> SchemaRegistry {
    let _ = rustls::crypto::ring::default_provider().install_default();
    SchemaRegistry::new(url, Handle::current()).unwrap()
}

/// Decodes on a thread that may block.
pub async fn decode(
    registry: &SchemaRegistry,
    format: Format,
    value: &[u8],
) -> Result<Value, DecodeError> {
    let (registry, value) = (registry.clone(), value.to_vec());
    tokio::task::spawn_blocking(move || registry.decode(format, &value)).await.unwrap()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digit).collect()
}

/// A value that names its schema by this number.
pub fn value(id: u32, bytes: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], bytes].concat()
}
