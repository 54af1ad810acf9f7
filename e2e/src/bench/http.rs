//! A small HTTP client: requests over connections that are kept open.

use std::time::{Duration, Instant};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Outcome;
use super::place::SECRET;

/// Time limit for the start of the API.
const START_MAX: Duration = Duration::from_secs(30);

/// Signs a token with this role, valid for an hour.
pub fn token(role: &str) -> Outcome<String> {
    let claims = json!({"sub": "bench", "roles": [role], "act_for": "*", "exp": jiff::Timestamp::now().as_second() + 3600});
    Ok(encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?)
}

/// Waits until the API accepts connections.
pub async fn wait_for(listen: &str) -> Outcome<()> {
    let deadline = Instant::now() + START_MAX;
    while TcpStream::connect(listen).await.is_err() {
        if Instant::now() > deadline {
            return Err(format!("the API did not start within {START_MAX:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A connection that is kept open.
pub struct Connection(TcpStream);

impl Connection {
    /// Connects.
    pub async fn open(listen: &str) -> Outcome<Self> {
        let stream = TcpStream::connect(listen).await?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Sends a request as it is and returns the body of its response, which needs a
    /// `content-length`. Fails unless the status is 200.
    pub async fn send(&mut self, request: &str) -> Outcome<Vec<u8>> {
        self.0.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::with_capacity(8192);
        loop {
            if self.0.read_buf(&mut bytes).await? == 0 {
                return Err("the connection was closed".into());
            }
            let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&bytes[..end])?;
            if !head.starts_with("HTTP/1.1 200") {
                return Err(format!("the response is not 200: {head}").into());
            }
            let length = head.lines().find_map(|l| {
                l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned)
            });
            let length: usize = length.ok_or("no content-length")?.parse()?;
            while bytes.len() < end + 4 + length {
                if self.0.read_buf(&mut bytes).await? == 0 {
                    return Err("the connection was closed".into());
                }
            }
            return Ok(bytes.split_off(end + 4));
        }
    }
}
