//! The registry's HTTP interface.
//!
//! # Source
//!
//! Confluent's documentation, "Schema Registry API Reference": `GET /schemas/ids/{id}`, `GET
//! /subjects/{subject}/versions/{version}`.

use std::collections::HashSet;
use std::fmt::Display;

use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::schema::{Reference, SchemaKind, SchemaText};

/// Size limit of one answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Maximum number of schemas that one schema refers to, directly or not.
const REFERENCES_MAX: usize = 100;

/// Error of a URL that can't be that of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`schema_registry` is not an http or https URL such as http://registry:8081")]
pub struct InvalidUrl;

/// The reason why a schema was not fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The registry does not know the schema, or Plaudit can't use it.
    Refused(String),
    /// The registry does not answer, or answers with an error. May pass.
    Unavailable(String),
}

pub struct Client {
    http: reqwest::Client,
    base: Url,
    /// `base` without user and password.
    shown: String,
}

#[derive(Deserialize)]
struct Answer {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<ReferenceAnswer>,
}

#[derive(Deserialize)]
struct ReferenceAnswer {
    name: String,
    subject: String,
    version: i64,
}

/// The registry's answer in place of a schema.
#[derive(Deserialize)]
struct ErrorAnswer {
    error_code: Option<i64>,
    message: Option<String>,
}

impl Client {
    pub fn new(url: &str) -> Result<Self, InvalidUrl> {
        let base: Url = url.parse().map_err(|_| InvalidUrl)?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(InvalidUrl);
        }
        let mut shown = base.clone();
        // Only URLs without a host refuse these.
        let _ = shown.set_username("");
        let _ = shown.set_password(None);
        let shown = shown.as_str().trim_end_matches('/').to_owned();
        let http = reqwest::Client::builder().build().map_err(|_| InvalidUrl)?;
        Ok(Self { http, base, shown })
    }

    /// The URL without user and password.
    pub fn shown_url(&self) -> &str {
        &self.shown
    }

    /// Returns a message that the registry can't be asked, with the cause.
    pub fn unavailable(&self, why: impl Display) -> String {
        format!("the schema registry at {} can't be asked: {why}", self.shown)
    }

    /// Fetches a schema with all that it refers to.
    pub async fn fetch(&self, id: u32) -> Result<SchemaText, FetchError> {
        let answer: Option<Answer> = self.get(&["schemas", "ids", &id.to_string()]).await?;
        let Some(answer) = answer else {
            return Err(FetchError::Refused("the registry does not know it".to_owned()));
        };
        let kind = SchemaKind::named(answer.kind.as_deref()).ok_or_else(|| {
            let kind = answer.kind.unwrap_or_default();
            FetchError::Refused(format!("Plaudit does not know the schema type {kind}"))
        })?;
        let references = self.references(answer.references).await?;
        Ok(SchemaText { kind, text: answer.schema, references })
    }

    /// Fetches everything that a schema refers to, directly or not. Each schema comes after those
    /// that it refers to: the Avro library resolves names in this order.
    async fn references(&self, named: Vec<ReferenceAnswer>) -> Result<Vec<Reference>, FetchError> {
        let mut fetched = Vec::new();
        let mut seen = HashSet::new();
        // The path of a search depth first: each schema, and its references that are not followed yet.
        let mut path = vec![(None, named.into_iter())];
        while let Some((_, rest)) = path.last_mut() {
            let Some(ReferenceAnswer { name, subject, version }) = rest.next() else {
                fetched.extend(path.pop().and_then(|(complete, _)| complete));
                continue;
            };
            if !seen.insert(name.clone()) {
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                let why = format!("it refers to more than {REFERENCES_MAX} other schemas");
                return Err(FetchError::Refused(why));
            }
            let segments = ["subjects", &subject, "versions", &version.to_string()];
            let answer = self.get::<Answer>(&segments).await?.ok_or_else(|| {
                FetchError::Refused(format!(
                    "it refers to version {version} of {subject}, which the registry does not know"
                ))
            })?;
            let reference = Reference { name, text: answer.schema };
            path.push((Some(reference), answer.references.into_iter()));
        }
        Ok(fetched)
    }

    /// Gets a path; `None` if the registry does not know it.
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, FetchError> {
        let unavailable = |why: &dyn Display| FetchError::Unavailable(self.unavailable(why));
        let (status, body) = self.ask(path).await.map_err(|why| unavailable(&why))?;
        if status.is_success() {
            let answer = serde_json::from_slice(&body);
            return answer
                .map(Some)
                .map_err(|e| unavailable(&format!("an unexpected answer: {e}")));
        }
        let error: Option<ErrorAnswer> = serde_json::from_slice(&body).ok();
        if status == StatusCode::NOT_FOUND {
            let is_of_a_registry = error.as_ref().is_some_and(|error| error.error_code.is_some());
            if is_of_a_registry || self.lists_subjects().await {
                return Ok(None);
            }
            let why = "it answers 404, so it is not a schema registry; check `schema_registry`";
            return Err(unavailable(&why));
        }
        let said = error.and_then(|error| error.message).unwrap_or_default();
        let said: String = said.chars().take(200).collect();
        Err(unavailable(&format!("it answers {status} {said}")))
    }

    /// Returns true if this is a registry. The 404 of another server would park every record.
    async fn lists_subjects(&self) -> bool {
        self.ask(&["subjects"]).await.is_ok_and(|(status, _)| status.is_success())
    }

    async fn ask(&self, path: &[&str]) -> Result<(StatusCode, Vec<u8>), String> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let accepted = "application/vnd.schemaregistry.v1+json, application/json";
        let request = self.http.get(url).header("accept", accepted);
        let mut response = request.send().await.map_err(|e| described(&e))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| described(&e))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("an answer of more than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), body))
    }
}

/// The innermost cause of an error, without the URL, which may hold a password.
fn described(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(of) = cause {
        causes.push(of.to_string());
        cause = of.source();
    }
    causes.last().cloned().unwrap_or_else(|| "the request failed".to_owned())
}
