//! Tests over real connections: their limits, and refusals of invalid HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plaudit_api::{ConnectionLimits, serve};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::bounds::holding;
use super::support::{Api, action, client, producer};

/// Longer than anything here takes on a busy machine, shorter than the limits that are not tested.
const WAIT_MAX: Duration = Duration::from_secs(8);

async fn served_with(api: &Api, limits: ConnectionLimits) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, api.router.clone(), limits, CancellationToken::new()));
    address
}

async fn served(api: &Api) -> SocketAddr {
    served_with(api, ConnectionLimits::new(1_000)).await
}

fn head(method: &str, path: &str, token: &str, more: &str) -> String {
    let token =
        if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{token}{more}\r\n")
}

/// Sends bytes and returns all that the server answers before it closes the connection.
async fn answer_to(address: SocketAddr, bytes: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(WAIT_MAX, connection.read_to_string(&mut answer)).await;
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
    read.unwrap_or_else(|_| panic!("{shown:?} is not answered: {answer:?}")).unwrap();
    answer
}

/// Returns the time until the server closes the connection.
async fn closed_after(connection: &mut TcpStream) -> Duration {
    let started = Instant::now();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(WAIT_MAX, connection.read_to_end(&mut rest)).await;
    let _ = closed.expect("the connection is closed"); // cleanly or by a reset
    started.elapsed()
}

#[tokio::test]
async fn heads_that_are_never_finished_keep_nobody_out() {
    let api = Api::start().await;
    let address = served_with(&api, ConnectionLimits::new(40)).await;
    let mut unfinished = Vec::new();
    for _ in 0..100 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(b"GET /livez HTTP/1.1\r\nhost: te").await.unwrap();
        unfinished.push(connection);
    }
    let answer = answer_to(address, head("GET", "/livez", "", "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(unfinished);
}

#[tokio::test]
async fn a_head_that_takes_too_long_and_long_silence_end_a_connection() {
    let api = Api::start().await;
    let limits = ConnectionLimits {
        head_timeout: Duration::from_millis(600),
        idle_timeout: Duration::from_secs(3),
        ..ConnectionLimits::new(100)
    };
    let address = served_with(&api, limits).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert!(closed_after(&mut silent).await < limits.idle_timeout);
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET /livez HT").await.unwrap();
    assert!(closed_after(&mut slow).await < limits.idle_timeout);
    // Silence between two requests may last longer than silence within a head.
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
    assert!(closed_after(&mut idle).await + Duration::from_millis(100) >= limits.idle_timeout);
}

#[tokio::test]
async fn bodies_that_are_never_sent_keep_nobody_out() {
    const PLACES: usize = 20;
    let api = Api::start().await;
    let address = served_with(&api, ConnectionLimits::new(PLACES)).await;
    let more = "content-type: application/json\r\ncontent-length: 1000\r\n";
    let mut unsent = Vec::new();
    for n in 0..2 * PLACES {
        // Half of them have no token: they are refused, but their body is still due.
        let token = if n % 2 == 0 { String::new() } else { producer() };
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head("POST", "/v1/actions", &token, more).as_bytes()).await.unwrap();
        connection.write_all(b"[").await.unwrap();
        unsent.push(connection);
    }
    let answer = answer_to(address, head("GET", "/livez", "", "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_connection_beyond_the_last_place_is_refused_while_all_are_at_work() {
    let api = Api::start().await;
    let address = served_with(&api, ConnectionLimits::new(1)).await;
    let held = holding(&api, "lock table catalogue in access exclusive mode").await;
    let body = action("u42", "gift.sent", "g1", json!({"coins": 10})).to_string();
    let more = format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    let mut at_work = TcpStream::connect(address).await.unwrap();
    let sent = head("POST", "/v1/actions", &producer(), &more) + &body;
    at_work.write_all(sent.as_bytes()).await.unwrap();
    let is_at_work = async {
        let waiting = "select count(*) from pg_locks
                       where not granted and relation = 'catalogue'::regclass";
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&api.pool).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT_MAX, is_at_work).await.unwrap();
    let answer = answer_to(address, head("GET", "/livez", "", "").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("retry-after: 1") && answer.contains("/problems/unavailable"),
        "{answer}"
    );
    drop(held);
}

#[tokio::test]
async fn what_is_not_http_is_refused_with_a_problem() {
    let api = Api::start().await;
    let address = served(&api).await;
    let long = "x".repeat(80 * 1024);
    let cases = [
        ("GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned(), "400", "bad-input"),
        (
            "GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n".to_owned(),
            "400",
            "bad-input",
        ),
        (
            "GET /livez HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n".to_owned(),
            "400",
            "bad-input",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400", "malformed-request"),
        ("GET /livez HTTP/1.1\r\nbad header: x\r\n\r\n".to_owned(), "400", "malformed-request"),
        (
            format!("GET /livez HTTP/1.1\r\nhost: test\r\nx: {long}\r\n\r\n"),
            "431",
            "headers-too-large",
        ),
    ];
    for (bytes, status, kind) in cases {
        let answer = answer_to(address, bytes.as_bytes()).await;
        let shown = &bytes[..bytes.len().min(60)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {answer}");
        assert!(answer.contains("content-type: application/problem+json"), "{shown:?}: {answer}");
        assert!(answer.contains(&format!("/problems/{kind}")), "{shown:?}: {answer}");
    }
    let old = answer_to(address, b"GET /livez HTTP/1.0\r\n\r\n").await;
    assert!(old.contains(" 200 "), "HTTP/1.0 has no Host: {old}");
}

#[tokio::test]
async fn a_client_that_is_refused_while_it_sends_sees_the_answer() {
    const BODY_BYTES: usize = 8 * 1024 * 1024;
    let api = Api::start().await;
    let address = served(&api).await;
    let text = format!("content-type: text/plain\r\ncontent-length: {BODY_BYTES}\r\n");
    let claim = "/v1/users/u42/claims";
    let publish = "/v1/tasks/publish";
    for (method, path, token, status) in [
        ("POST", "/v1/actions", String::new(), "401 "),
        ("POST", "/v1/actions", client("u42"), "403 "),
        ("POST", "/nothing", producer(), "404 "),
        ("PUT", "/v1/actions", producer(), "405 "),
        ("POST", claim, client("u42"), "413 "),
        ("POST", "/v1/actions", producer(), "415 "),
        ("POST", publish, super::support::operator(), "415 "),
    ] {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head(method, path, &token, &text).as_bytes()).await.unwrap();
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..BODY_BYTES / chunk.len() {
            connection.write_all(&chunk).await.unwrap();
        }
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{method} {path}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_refused_at_once() {
    let api = Api::start().await;
    let address = served(&api).await;
    let more =
        "content-type: application/json\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n";
    let answer = answer_to(address, head("POST", "/v1/actions", "", more).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}
