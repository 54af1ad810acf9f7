//! Tokens that must not be believed.

use std::path::PathBuf;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use plaudit_api::auth::{JwksSource, KeyOptions};
use serde_json::{Value, json};

use super::support::{Api, SECRET, client, now, token};

const PATH: &str = "/v1/users/u42/tasks";

fn claims() -> Value {
    json!({"sub": "u42", "roles": ["client"], "exp": now() + 60})
}

fn with(name: &str, value: Value) -> String {
    let mut changed = claims();
    changed[name] = value;
    token(changed)
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

#[tokio::test]
async fn claims_that_do_not_hold_are_401() {
    let api = Api::start().await;
    assert_eq!(api.get(&token(claims()), PATH).await.status, 200);
    assert_eq!(api.get(&with("exp", json!(now() + 60)), PATH).await.status, 200);
    assert_eq!(api.get(&with("nbf", json!(now())), PATH).await.status, 200);
    let without = |name: &str| {
        let mut changed = claims();
        changed.as_object_mut().unwrap().remove(name);
        encode(&Header::default(), &changed, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    let bad = [
        without("exp"),
        without("sub"),
        with("exp", json!(now() - 1)),
        with("exp", json!(now())),
        with("exp", json!("tomorrow")),
        with("exp", Value::Null),
        with("exp", json!(-1)),
        with("nbf", json!(now() + 60)),
        with("nbf", json!("soon")),
        with("sub", json!(42)),
        with("sub", json!("")),
        with("roles", json!("client")),
        with("roles", json!({"client": true})),
        with("roles", json!(1)),
    ];
    for token in bad {
        let answer = api.get(&token, PATH).await;
        answer.is_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn signatures_that_are_none_of_ours_are_401() {
    let api = Api::start().await;
    let good = token(claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let payload = base64(&claims().to_string());
    let none = |header: &str| format!("{}.{payload}.", base64(header));
    let other = encode(&Header::default(), &claims(), &EncodingKey::from_secret(b"another secret"))
        .unwrap();
    let hs512 = encode(
        &Header::new(Algorithm::HS512),
        &claims(),
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap();
    let critical =
        format!("{}.{payload}.{signature}", base64(r#"{"alg":"HS256","crit":["x"],"x":1}"#));
    let bad = [
        none(r#"{"alg":"none"}"#),
        none(r#"{"alg":"None","typ":"JWT"}"#),
        none(r#"{"alg":"HS256"}"#),
        other,
        hs512,
        critical,
        format!("{signed}."),
        signed.to_owned(),
        format!("{signed}.{signature}x"),
        "x".to_owned(),
        format!("{}.{payload}.{signature}", base64(r#"{"alg":"RS256"}"#)),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ];
    for token in bad {
        api.get(&token, PATH).await.is_problem(401, "unauthenticated");
    }
}

#[tokio::test]
async fn only_one_bearer_token_is_a_token() {
    let api = Api::start().await;
    let good = client("u42");
    for value in [format!("Basic {good}"), good.clone(), "Bearer".to_owned(), "Bearer ".to_owned()]
    {
        api.get_with("", PATH, &[("authorization", &value)])
            .await
            .is_problem(401, "unauthenticated");
    }
    let value = format!("bearer {good}");
    assert_eq!(api.get_with("", PATH, &[("authorization", &value)]).await.status, 200);
    assert_eq!(
        api.get_with("", PATH, &[("authorization", &value), ("authorization", &value)])
            .await
            .status,
        401
    );
    assert_eq!(api.get_with("", &format!("{PATH}?access_token={good}"), &[]).await.status, 401);
}

/// A key pair of RFC 8037, appendix A.
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ED25519_PRIVATE_PEM: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----";

fn signed_with_ed25519(id: Option<&str>) -> String {
    let header = Header { kid: id.map(str::to_owned), ..Header::new(Algorithm::EdDSA) };
    encode(&header, &claims(), &EncodingKey::from_ed_pem(ED25519_PRIVATE_PEM).unwrap()).unwrap()
}

fn key_set(id: &str) -> String {
    let okp = json!({"kty": "OKP", "crv": "Ed25519", "x": ED25519_PUBLIC, "kid": id, "use": "sig", "alg": "EdDSA"});
    let secret = json!({"kty": "oct", "k": base64(SECRET), "kid": "symmetric"});
    json!({"keys": [{"kty": "new", "kid": "x"}, okp, secret]}).to_string()
}

fn scratch_file(text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(plaudit_embedded::test_cluster::unique_name("jwks"));
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn public_keys_are_found_by_their_id_and_again_after_they_were_exchanged() {
    let path = scratch_file(&key_set("first"));
    let api = Api::with_keys(KeyOptions {
        hs256_secret: None,
        jwks: Some(JwksSource::File(path.clone())),
    })
    .await;
    assert_eq!(api.get(&signed_with_ed25519(Some("first")), PATH).await.status, 200);
    assert_eq!(api.get(&signed_with_ed25519(None), PATH).await.status, 200);
    assert_eq!(api.get(&client("u42"), PATH).await.status, 401, "HS256 is not configured");
    std::fs::write(&path, key_set("second")).unwrap();
    assert_eq!(api.get(&signed_with_ed25519(Some("second")), PATH).await.status, 200);
    assert_eq!(api.get(&signed_with_ed25519(Some("first")), PATH).await.status, 401);
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn keys_at_an_address_are_fetched_once_they_are_there() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("http://{address}/keys").parse().unwrap();
    drop(listener);
    let jwks = Some(JwksSource::Url(url, reqwest::Client::new()));
    let api = Api::with_keys(KeyOptions { hs256_secret: None, jwks }).await;
    let answer = api.get(&signed_with_ed25519(Some("first")), PATH).await;
    answer.is_problem(503, "unavailable");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let keys = async || key_set("first");
    let key_router = axum::Router::new().route("/keys", axum::routing::get(keys));
    let server = tokio::spawn(async move { axum::serve(listener, key_router).await });
    let believed = async {
        while api.get(&signed_with_ed25519(Some("first")), PATH).await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), believed).await.unwrap();
    assert_eq!(api.get(&client("u42"), PATH).await.status, 401);
    server.abort();
}
