//! A secret of this checkout, and a token for each role.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;
use uuid::Uuid;

use crate::failure::Failure;

/// The lifetime of the tokens in seconds: a week.
const LIFETIME_SECONDS: i64 = 7 * 24 * 3600;

/// Returns the secret, which is created at the first start and readable by its owner only.
pub fn secret(dir: &Path) -> Result<String, Failure> {
    let path = dir.join("secret");
    if let Ok(secret) = std::fs::read_to_string(&path)
        && secret.len() >= 32
    {
        return Ok(secret);
    }
    let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)?;
    file.write_all(secret.as_bytes())?;
    Ok(secret)
}

/// Makes a token for each role. The client's may act for every user, as a game's own backend does.
pub fn mint(secret: &str) -> Result<BTreeMap<&'static str, String>, Failure> {
    let expires = jiff::Timestamp::now().as_second() + LIFETIME_SECONDS;
    let key = EncodingKey::from_secret(secret.as_bytes());
    ["client", "producer", "auditor", "operator"]
        .into_iter()
        .map(|role| {
            let mut claims = json!({"sub": format!("dev-{role}"), "roles": [role], "exp": expires});
            if role == "client" {
                claims["act_for"] = "*".into();
            }
            Ok((role, encode(&Header::default(), &claims, &key)?))
        })
        .collect()
}
