//! The catalogue behind a server: `--url` and `--token`.

use std::fmt::Write as _;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use plaudit_api::{Plan, PublishedTask};
use plaudit_domain::catalogue::Status;
use plaudit_domain::catalogue::definition::TaskDefinition;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_event_store::backfills::BackfillStatus;
use plaudit_event_store::backfills::changes::BackfillChange;
use plaudit_event_store::catalogue_store::{AmnestyScope, DeclaredAmnesty};
use reqwest::{Client, RequestBuilder};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answers::{ListedTask, TaskHistory, TaskInForce};

/// Time limit for a request: the server answers within 5 s.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Path of the amnesties.
const AMNESTIES: &str = "/v1/streaks/amnesties";

/// Maximum number of entries of a list.
const LIMIT: u32 = 1_000;

/// A server.
pub struct HttpCatalogue {
    client: Client,
    /// Without a slash at the end.
    url: String,
    token: String,
}

/// Error of a request to a server.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server does not answer.
    #[error("the server does not answer: {0}")]
    Request(#[from] reqwest::Error),
    /// The input was refused; each error has a place.
    #[error("{}", .0.iter().map(|e| e.detail.as_str()).collect::<Vec<_>>().join("\n"))]
    BadInput(Vec<InputError>),
    /// Another refusal.
    #[error("the server answers {status}: {detail}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The server's explanation.
        detail: String,
    },
    /// The server is older than [`HttpCatalogue::in_force`].
    #[error(
        "the server has no `GET /v1/catalogue`: it is older than this program, or `--url` names another path; upgrade it, or export with access to its database"
    )]
    NoCatalogue,
    /// The answer is not one of this version.
    #[error("the server's answer can't be read; is it of the same version? {0}")]
    Unreadable(serde_json::Error),
}

/// One error of refused input.
#[derive(Debug, Deserialize)]
pub struct InputError {
    /// The explanation.
    pub detail: String,
    /// Place of the error in the input, a JSON Pointer.
    pub pointer: Option<String>,
}

impl InputError {
    /// The task's place in the file and the field below it, such as `requires[0]`.
    pub fn place(&self) -> Option<(usize, String)> {
        let pointer = self.pointer.as_deref()?;
        let pointer = pointer.strip_prefix("/file").unwrap_or(pointer);
        let mut segments = pointer.strip_prefix("/tasks/")?.split('/');
        let index = segments.next()?.parse().ok()?;
        let mut field = String::new();
        for segment in segments {
            if segment.bytes().all(|b| b.is_ascii_digit()) {
                let _ = write!(field, "[{segment}]");
            } else {
                let dot = if field.is_empty() { "" } else { "." };
                field.push_str(dot);
                field.push_str(&segment.replace("~1", "/").replace("~0", "~"));
            }
        }
        Some((index, field))
    }
}

/// The part of a problem that is shown.
#[derive(Deserialize)]
struct ProblemBody {
    detail: String,
    #[serde(default)]
    errors: Vec<InputError>,
}

#[derive(Deserialize)]
struct ListPage {
    tasks: Vec<ListedTask>,
    next: Option<TaskId>,
}

#[derive(Deserialize)]
struct VersionsPage {
    #[serde(flatten)]
    history: TaskHistory,
    next: Option<u32>,
}

#[derive(Deserialize)]
struct CatalogueInForce {
    tasks: Vec<TaskInForce>,
}

/// The tasks that need a task, in an answer about it or about a change of its status.
#[derive(Deserialize)]
struct NeededBy {
    #[serde(default)]
    needed_by: Vec<TaskId>,
}

#[derive(Deserialize)]
struct Amnesties {
    amnesties: Vec<DeclaredAmnesty>,
}

#[derive(Deserialize)]
struct ListedBackfills {
    backfills: Vec<BackfillStatus>,
}

#[derive(Deserialize)]
struct PublishedAll {
    published: Vec<PublishedTask>,
}

impl HttpCatalogue {
    /// A server at this address.
    pub fn new(url: &str, token: &str) -> Result<Self, HttpError> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { client, url, token: token.to_owned() })
    }

    /// All tasks.
    pub async fn list(&self) -> Result<Vec<ListedTask>, HttpError> {
        let mut tasks = Vec::new();
        let mut after: Option<TaskId> = None;
        loop {
            let mut path = format!("/v1/tasks?limit={LIMIT}");
            if let Some(after) = &after {
                let _ = write!(path, "&after={after}");
            }
            let page: ListPage = self.answer(self.client.get(self.at(&path))).await?;
            tasks.extend(page.tasks);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(tasks),
            }
        }
    }

    /// The version in force of every task, all of one revision.
    pub async fn in_force(&self) -> Result<Vec<TaskInForce>, HttpError> {
        let answer = self.answer(self.client.get(self.at("/v1/catalogue"))).await;
        let catalogue: CatalogueInForce = answer.map_err(|error| match error {
            HttpError::Refused { status: 404, .. } => HttpError::NoCatalogue,
            error => error,
        })?;
        Ok(catalogue.tasks)
    }

    /// One task with all its versions.
    pub async fn history(&self, id: &TaskId) -> Result<TaskHistory, HttpError> {
        let path = format!("/v1/tasks/{id}/versions?limit={LIMIT}");
        let mut page: VersionsPage = self.answer(self.client.get(self.at(&path))).await?;
        let mut versions = Vec::new();
        while let Some(after) = page.next {
            versions.append(&mut page.history.versions);
            let path = format!("{path}&after={after}");
            page = self.answer(self.client.get(self.at(&path))).await?;
        }
        versions.append(&mut page.history.versions);
        Ok(TaskHistory { versions, ..page.history })
    }

    /// Publishes definitions, all or none.
    pub async fn publish(
        &self,
        definitions: &[TaskDefinition],
        reason: Option<&str>,
    ) -> Result<Vec<PublishedTask>, HttpError> {
        let path = match reason {
            None => "/v1/tasks/publish".to_owned(),
            Some(reason) => format!("/v1/tasks/publish?reason={}", percent_encoded(reason)),
        };
        let published: PublishedAll = self.answer(self.file(&path, definitions)).await?;
        Ok(published.published)
    }

    /// Plans a publication.
    pub async fn plan(&self, definitions: &[TaskDefinition]) -> Result<Plan, HttpError> {
        self.answer(self.file("/v1/tasks/plan", definitions)).await
    }

    /// Pauses, resumes or retires a task. Returns the tasks that need it.
    pub async fn set_status(
        &self,
        id: &TaskId,
        status: Status,
        reason: Option<String>,
    ) -> Result<Vec<TaskId>, HttpError> {
        let verb = match status {
            Status::Active => "resume",
            Status::Paused => "pause",
            Status::Retired => "retire",
        };
        let request = self.client.post(self.at(&format!("/v1/tasks/{id}/{verb}")));
        let changed: NeededBy = self.answer(request.json(&json!({ "reason": reason }))).await?;
        Ok(changed.needed_by)
    }

    /// Declares that no streak breaks over a span of time.
    pub async fn declare_amnesty(
        &self,
        scope: &AmnestyScope,
        reason: &str,
    ) -> Result<DeclaredAmnesty, HttpError> {
        let AmnestyScope { from, until, tasks } = scope;
        let body = json!({ "from": from, "until": until, "tasks": tasks, "reason": reason });
        self.answer(self.client.post(self.at(AMNESTIES)).json(&body)).await
    }

    /// All amnesties, the oldest declaration first.
    pub async fn amnesties(&self) -> Result<Vec<DeclaredAmnesty>, HttpError> {
        let all: Amnesties = self.answer(self.client.get(self.at(AMNESTIES))).await?;
        Ok(all.amnesties)
    }

    /// All backfills.
    pub async fn backfills(&self) -> Result<Vec<BackfillStatus>, HttpError> {
        let path = format!("/v1/backfills?limit={LIMIT}");
        let listed: ListedBackfills = self.answer(self.client.get(self.at(&path))).await?;
        Ok(listed.backfills)
    }

    /// The backfill of a task.
    pub async fn backfill(&self, id: &TaskId) -> Result<BackfillStatus, HttpError> {
        self.answer(self.client.get(self.at(&format!("/v1/tasks/{id}/backfill")))).await
    }

    /// Pauses, resumes, cancels or releases the backfill of a task.
    pub async fn change_backfill(
        &self,
        id: &TaskId,
        requested: BackfillChange,
        reason: Option<String>,
    ) -> Result<BackfillStatus, HttpError> {
        let verb = match requested {
            BackfillChange::Pause => "pause",
            BackfillChange::Resume => "resume",
            BackfillChange::Cancel => "cancel",
            BackfillChange::Release => "release",
        };
        let request = self.client.post(self.at(&format!("/v1/tasks/{id}/backfill/{verb}")));
        self.answer(request.json(&json!({ "reason": reason }))).await
    }

    /// The tasks that require a task or count its completions, retired ones left out.
    pub async fn needed_by(&self, id: &TaskId) -> Result<Vec<TaskId>, HttpError> {
        let task: NeededBy =
            self.answer(self.client.get(self.at(&format!("/v1/tasks/{id}")))).await?;
        Ok(task.needed_by)
    }

    /// Explains why a task does not move for a user.
    pub async fn why(&self, id: &TaskId, input: &Value) -> Result<Value, HttpError> {
        let path = format!("/v1/tasks/{id}/why");
        self.answer(self.client.post(self.at(&path)).json(input)).await
    }

    /// Makes a dry run.
    pub async fn simulate(&self, input: &Value) -> Result<Value, HttpError> {
        self.answer(self.client.post(self.at("/v1/tasks/simulate")).json(input)).await
    }

    /// Corrects a user's progress.
    pub async fn correct<T: DeserializeOwned>(
        &self,
        (user, task): (&UserId, &TaskId),
        verb: &str,
        input: &Value,
        idempotency_key: Option<&str>,
    ) -> Result<T, HttpError> {
        let user = percent_encoded(user.as_str());
        let mut request =
            self.client.post(self.at(&format!("/v1/users/{user}/tasks/{task}/{verb}")));
        if let Some(key) = idempotency_key {
            request = request.header("idempotency-key", key);
        }
        self.answer(request.json(input)).await
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn file(&self, path: &str, definitions: &[TaskDefinition]) -> RequestBuilder {
        let file = plaudit_task_file::to_json(definitions);
        let request = self.client.post(self.at(path));
        request.header("content-type", "application/json").body(file)
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, HttpError> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(HttpError::Unreadable);
        }
        match serde_json::from_slice::<ProblemBody>(&body) {
            Ok(problem) if !problem.errors.is_empty() => Err(HttpError::BadInput(problem.errors)),
            Ok(problem) => {
                Err(HttpError::Refused { status: status.as_u16(), detail: problem.detail })
            }
            Err(_) => Err(HttpError::Refused {
                status: status.as_u16(),
                detail: "not an answer of Plaudit".to_owned(),
            }),
        }
    }
}

/// The characters that are encoded in a path or a query.
///
/// # Source
///
/// RFC 3986, section 2.3: all but the unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Encodes a value for a path or a query.
fn percent_encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_export_from_an_older_server_says_what_is_missing() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let older = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let asked = stream.read(&mut [0; 4096]).await.unwrap();
            assert!(asked > 0);
            let body = r#"{"detail":"no such path"}"#;
            let head = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length";
            let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let error = HttpCatalogue::new(&url, "token").unwrap().in_force().await.unwrap_err();
        assert!(error.to_string().contains("GET /v1/catalogue"), "{error}");
        older.await.unwrap();
    }

    #[test]
    fn a_value_is_encoded_for_a_path_or_a_query() {
        assert_eq!(percent_encoded("a-b.c_d~9").to_string(), "a-b.c_d~9");
        assert_eq!(percent_encoded("a/b?c=ä &#").to_string(), "a%2Fb%3Fc%3D%C3%A4%20%26%23");
    }

    #[test]
    fn a_pointer_names_a_task_and_its_field() {
        let place = |pointer: &str| {
            let pointer = Some(pointer.to_owned());
            InputError { detail: String::new(), pointer }.place()
        };
        assert_eq!(place("/tasks/2/requires/0"), Some((2, "requires[0]".to_owned())));
        assert_eq!(place("/file/tasks/0/objective/on"), Some((0, "objective.on".to_owned())));
        assert_eq!(place("/tasks/0"), Some((0, String::new())));
        assert_eq!(place(""), None);
    }
}
