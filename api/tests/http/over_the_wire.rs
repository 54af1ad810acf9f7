//! What only a connection shows: a client that is still sending when it is refused.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::support::{Api, client, producer};

async fn served(api: &Api) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = api.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn head(method: &str, path: &str, token: &str, more: &str) -> String {
    let token =
        if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{token}{more}\r\n")
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
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(head("POST", "/v1/actions", "", more).as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}
