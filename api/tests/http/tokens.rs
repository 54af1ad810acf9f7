//! Tokens that must not be believed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use plaudit_api::auth::{ExpectedClaims, JwksSource, KeyOptions, Keys};
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
        with("nbf", json!(now() + 20)),
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

/// Made for these tests by openssl.
const RSA_MODULUS: &str = "q4Oksp3qKfipE57gYEpAoSGLt7xK6VVXcG2ZtrMU5rtEcV5wYawJq1j4a7TWd7M5bvzM8vwqfk9OK_Xt0B6tI0IFBT0qammoPlIETkUeW73cHB6SSwYwGI9iAk9C8xW3Wr9aHDoHkzmndy9ax4GglKgMi3cS8wHHR65Ynpo2g6-vKYSy12mHv9Eg_TTLd0huOBy9YWE8UIZKH7QiFAfL_-fg2O1WrqiNDP81SRbchCgZHcitAX85O9TnqoABx_DoBYFBqIa-RP8Mw2ngUEEm61JWPWMxKj_HnU17yqfPU7J06zoMyyCmr7s2N4c2E1p71z-X9hOELZfTXFY5FvQoaw";
const RSA_PRIVATE_PEM: &[u8] = b"-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQCrg6Syneop+KkT
nuBgSkChIYu3vErpVVdwbZm2sxTmu0RxXnBhrAmrWPhrtNZ3szlu/Mzy/Cp+T04r
9e3QHq0jQgUFPSpqaag+UgRORR5bvdwcHpJLBjAYj2ICT0LzFbdav1ocOgeTOad3
L1rHgaCUqAyLdxLzAcdHrliemjaDr68phLLXaYe/0SD9NMt3SG44HL1hYTxQhkof
tCIUB8v/5+DY7VauqI0M/zVJFtyEKBkdyK0Bfzk71OeqgAHH8OgFgUGohr5E/wzD
aeBQQSbrUlY9YzEqP8edTXvKp89TsnTrOgzLIKavuzY3hzYTWnvXP5f2E4Qtl9Nc
VjkW9ChrAgMBAAECggEACTTx3Fy5uzML8G+w37pcqcmhNGW5J7lbDj/z5mjKkHAx
Blzpb3TKuBX4j9+PO7G1PY34enqq1Ujwi0+SSn+7D491sYhNBJVTYLUKYiE3tfkF
HcVOWRSl9EuOGU2j7GSYCRkIf0dmLLMFmFJEbz04H4K92aa0r7LCvchQHYNttbfb
+xDRpz8vMdLujfTflbL3CSQMPZIoocryDJ2PLCER/n+X9TAKN68PcIf2RWEQX5aj
rugc1QY8POzYTRYr+5vxVyPH/O6HOAgv04D1B0xB3F100ssmIbQiS0vXMNRUl2le
52ouhAlelYB5L6eARLtOeLHWv/bSr30YbWsOPpF14QKBgQDlJ6cljY57G0CRmKCt
3Zwq271D+sC6YQknkUZVttA5oCyH65Cwep7sTg002U9j+chLCK3HV9uV1oR3pnws
FWJmMhtW3pVc2dFTfB1P1oGVwgmhoGhJGKHcNm5it+Ii2htEFSgTvMwdrjPpmqTe
9tHmUGRH8MFlv5eIBYT7xsNeEwKBgQC/m1laDfqZTdC26hPuQk+An9LI5FeUIZWY
w7lY+cwoBIKN/c7LMJjmfOo62FLEm+kZgPaIJR9mCkZOZszjr1w6ScinpPBZz1n6
NexTVNV1dsJvBzlrkoslOLnzVJb/mHJ+Dy/1ZtNAwY+LecJ5JnYDaEVzHA5AUTNi
S/CN9973SQKBgGHj2oc0PVVhguevZ5ReQsQcMnHDwGjd4udAK+eZvMGhJuS5QInj
F9iiTwnwevWeUm2bO4EYivkrNlNWj1zVlb9KUFt/ohaUBdPABVWBsMGkrjCZMXNo
Tlyf8++/1Z5FxbgDwacM07UqIYr9QMjubyQP24bP1g39FmJI2VIkynh5AoGAEOeN
zIorL9dTsK+aLo0fIoP3Ps4Wg/Uqk53A/n6banRraEeaNQcGll8y8xoew0XWHO/p
0D0mNgR2C3i6XuQbyPC1iUTeB65pi8+yF/AGHSTrJoyGnl0Bdbk5fqRZ5hb3EvQY
ERiPTslE9tM5OyMPimFqryssfrQrSmLUyFG0FDECgYEAp9hpC+ZUumBIKw06MdRY
r0boBVlG+ipEQbrk6dcolBaSmyl1BatXleXS7O0vrMMYhDSOou2ci1wmrHZ2k3Pc
h+gAh7FJwAGtQUc98R/Hga2InQi6GxlcLCP33LXHexyIcdOV6X8nqzQ+8hK+bput
uf1fgXJkuuVZ3WKy5IH61z0=
-----END PRIVATE KEY-----";
const P256_PUBLIC: (&str, &str) =
    ("Kzy9OuzGYZUimPJDHZSTAgfDzpXHb16Qrqn3g8XPxAM", "E-nB3FI5LOKhL-Ep8_aKeoYLNDgSHeSplmC0PmvEkdQ");
const P256_PRIVATE_PEM: &[u8] = b"-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgrS3jqdh5pu2cGP3o
xr6ZPHh+MpePAnRdvdATvSp+TTChRANCAAQrPL067MZhlSKY8kMdlJMCB8POlcdv
XpCuqfeDxc/EAxPpwdxSOSzioS/hKfP2inqGCzQ4Eh3kqZZgtD5rxJHU
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

fn keys_at(source: JwksSource) -> KeyOptions {
    KeyOptions { jwks: Some(source), ..KeyOptions::default() }
}

fn scratch_file(text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(plaudit_embedded::test_cluster::unique_name("jwks"));
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn public_keys_are_found_by_their_id_and_again_after_they_were_exchanged() {
    let path = scratch_file(&key_set("first"));
    let api = Api::with_keys(keys_at(JwksSource::File(path.clone()))).await;
    assert_eq!(api.get(&signed_with_ed25519(Some("first")), PATH).await.status, 200);
    assert_eq!(api.get(&signed_with_ed25519(None), PATH).await.status, 200);
    assert_eq!(api.get(&client("u42"), PATH).await.status, 401, "HS256 is not configured");
    std::fs::write(&path, key_set("second")).unwrap();
    assert_eq!(api.get(&signed_with_ed25519(Some("second")), PATH).await.status, 200);
    assert_eq!(api.get(&signed_with_ed25519(Some("first")), PATH).await.status, 401);
    std::fs::remove_file(path).unwrap();
}

/// What identity providers sign with: each kind of key by the algorithm it is for, and by no other.
#[tokio::test]
async fn rs256_and_es256_are_believed_and_not_exchanged_for_each_other() {
    let (x, y) = P256_PUBLIC;
    let keys = json!({"keys": [
        {"kty": "RSA", "kid": "rsa", "use": "sig", "alg": "RS256", "n": RSA_MODULUS, "e": "AQAB"},
        {"kty": "EC", "kid": "ec", "use": "sig", "alg": "ES256", "crv": "P-256", "x": x, "y": y},
    ]});
    let path = scratch_file(&keys.to_string());
    let api = Api::with_keys(keys_at(JwksSource::File(path.clone()))).await;
    let rsa = EncodingKey::from_rsa_pem(RSA_PRIVATE_PEM).unwrap();
    let ec = EncodingKey::from_ec_pem(P256_PRIVATE_PEM).unwrap();
    let signed = |algorithm, key: &EncodingKey, id: Option<&str>| {
        let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
        encode(&header, &claims(), key).unwrap()
    };
    for id in [Some("own"), None] {
        let (of_rsa, of_ec) = (id.map(|_| "rsa"), id.map(|_| "ec"));
        for good in [signed(Algorithm::RS256, &rsa, of_rsa), signed(Algorithm::ES256, &ec, of_ec)] {
            let answer = api.get(&good, PATH).await;
            assert_eq!(answer.status, 200, "{id:?}: {}", answer.text);
        }
    }
    // The public key as a secret: what a server does that lets the token choose the algorithm.
    let public = EncodingKey::from_secret(RSA_MODULUS.as_bytes());
    let good = signed(Algorithm::RS256, &rsa, Some("rsa"));
    let (signed_part, signature) = good.rsplit_once('.').unwrap();
    for bad in [
        signed(Algorithm::RS256, &rsa, Some("ec")),
        signed(Algorithm::ES256, &ec, Some("rsa")),
        signed(Algorithm::RS512, &rsa, Some("rsa")),
        signed(Algorithm::PS256, &rsa, Some("rsa")),
        signed(Algorithm::HS256, &public, Some("rsa")),
        signed(Algorithm::RS256, &rsa, Some("nobody")),
        format!("{signed_part}.{}", signature.chars().rev().collect::<String>()),
    ] {
        api.get(&bad, PATH).await.is_problem(401, "unauthenticated");
    }
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn keys_at_an_address_are_fetched_once_they_are_there() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // It is listened to all the time, so that nobody else is given the port meanwhile.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
    let are_there = Arc::new(AtomicBool::new(false));
    let keys = {
        let are_there = are_there.clone();
        async move || {
            let are_there = are_there.load(Ordering::SeqCst);
            if are_there { Ok(key_set("first")) } else { Err(StatusCode::SERVICE_UNAVAILABLE) }
        }
    };
    let key_router = axum::Router::new().route("/keys", axum::routing::get(keys));
    let server = tokio::spawn(async move { axum::serve(listener, key_router).await });
    let api = Api::with_keys(keys_at(JwksSource::Url(url, reqwest::Client::new()))).await;
    let answer = api.get(&signed_with_ed25519(Some("first")), PATH).await;
    answer.is_problem(503, "unavailable");
    are_there.store(true, Ordering::SeqCst);
    let believed = async {
        while api.get(&signed_with_ed25519(Some("first")), PATH).await.status != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), believed).await.unwrap();
    assert_eq!(api.get(&client("u42"), PATH).await.status, 401);
    server.abort();
}

/// A key server that serves a set, until it is told to hang or to send without end.
struct KeyServer {
    url: reqwest::Url,
    fetches: Arc<AtomicUsize>,
    behaviour: Arc<AtomicUsize>,
}

const SERVES: usize = 0;
const HANGS: usize = 1;
const NEVER_ENDS: usize = 2;

impl KeyServer {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap()).parse().unwrap();
        let (fetches, behaviour) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let answer = {
            let (fetches, behaviour) = (fetches.clone(), behaviour.clone());
            async move || {
                fetches.fetch_add(1, Ordering::SeqCst);
                match behaviour.load(Ordering::SeqCst) {
                    SERVES => Body::from(key_set("first")),
                    HANGS => std::future::pending().await,
                    _ => {
                        let chunk = || Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]);
                        Body::from_stream(futures::stream::repeat_with(chunk))
                    }
                }
            }
        };
        let router = axum::Router::new().route("/keys", axum::routing::get(answer));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, fetches, behaviour }
    }

    async fn api(&self) -> Api {
        let client = reqwest::Client::new();
        Api::with_keys(keys_at(JwksSource::Url(self.url.clone(), client))).await
    }
}

#[tokio::test]
async fn tokens_with_invented_keys_share_one_fetch_and_hold_up_no_good_one() {
    let server = KeyServer::start().await;
    let api = server.api().await;
    server.behaviour.store(HANGS, Ordering::SeqCst);
    let started = Instant::now();
    let invented = async |n: usize| {
        let answer = api.get(&signed_with_ed25519(Some(&format!("invented-{n}"))), PATH).await;
        answer.is_problem(401, "unauthenticated");
        started.elapsed()
    };
    let good = async {
        // Not before the fetch that hangs has begun.
        while server.fetches.load(Ordering::SeqCst) < 2 {
            tokio::task::yield_now().await;
        }
        let asked = Instant::now();
        assert_eq!(api.get(&signed_with_ed25519(Some("first")), PATH).await.status, 200);
        asked.elapsed()
    };
    let (slowest, good) = tokio::join!(
        async { futures::future::join_all((0..12).map(invented)).await.into_iter().max().unwrap() },
        good
    );
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    assert!(good < Duration::from_secs(2), "{good:?}");
    // And no further fetch soon after.
    let next = Instant::now();
    let answer = api.get(&signed_with_ed25519(Some("invented")), PATH).await;
    answer.is_problem(401, "unauthenticated");
    assert!(next.elapsed() < Duration::from_secs(2));
    assert_eq!(server.fetches.load(Ordering::SeqCst), 2, "one at the start, one for all");
}

#[tokio::test]
async fn a_key_set_without_end_is_given_up_and_the_last_one_stays_in_use() {
    let server = KeyServer::start().await;
    let api = server.api().await;
    server.behaviour.store(NEVER_ENDS, Ordering::SeqCst);
    let answer = api.get(&signed_with_ed25519(Some("invented")), PATH).await;
    answer.is_problem(401, "unauthenticated");
    assert_eq!(server.fetches.load(Ordering::SeqCst), 2);
    assert_eq!(api.get(&signed_with_ed25519(Some("first")), PATH).await.status, 200);
}

/// Each key of a set is looked at for each token; 100 are far more than any provider has.
#[tokio::test]
async fn a_key_set_of_more_than_100_keys_is_refused() {
    for (count, is_taken) in [(100, true), (101, false)] {
        let mut set: Value = serde_json::from_str(&key_set("first")).unwrap();
        let keys = set["keys"].as_array_mut().unwrap();
        keys.resize(count, json!({"kty": "new", "kid": "x"}));
        let path = scratch_file(&set.to_string());
        let opened = Keys::open(&keys_at(JwksSource::File(path.clone()))).await;
        std::fs::remove_file(path).unwrap();
        match opened {
            Ok(_) => assert!(is_taken, "{count} keys"),
            Err(error) => {
                assert!(!is_taken, "{count} keys: {error}");
                assert!(error.to_string().contains("101 keys, more than 100"), "{error}");
            }
        }
    }
}

/// Tokens are answered with 503 for as long as no key was ever fetched, so the process is not ready.
#[tokio::test]
async fn keys_that_were_never_fetched_make_the_process_unready_until_they_are() {
    let server = KeyServer::start().await;
    server.behaviour.store(HANGS, Ordering::SeqCst);
    let source = JwksSource::Url(server.url.clone(), reqwest::Client::new());
    let keys = Keys::open(&keys_at(source)).await.unwrap();
    tokio::spawn(keys.clone().refresh());
    let until = async |wanted: &dyn Fn() -> bool| {
        let reached = async {
            while !wanted() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reached).await.unwrap();
    };
    until(&|| keys.ready().is_err()).await;
    let reason = keys.ready().unwrap_err();
    assert!(reason.contains(&server.url.to_string()) && reason.contains("no answer"), "{reason}");
    assert_eq!(keys.warning(), None, "it is a reason by now");
    server.behaviour.store(SERVES, Ordering::SeqCst);
    until(&|| keys.ready().is_ok()).await;
    assert_eq!(keys.warning(), None);
}

#[tokio::test]
async fn keys_that_can_not_be_fetched_again_are_a_warning() {
    let server = KeyServer::start().await;
    let source = JwksSource::Url(server.url.clone(), reqwest::Client::new());
    let keys = Keys::open(&keys_at(source)).await.unwrap();
    assert_eq!((keys.ready(), keys.warning()), (Ok(()), None));
    server.behaviour.store(NEVER_ENDS, Ordering::SeqCst);
    // A token with a key that is not known causes the next fetch.
    let api = Api::checking_with(keys.clone()).await;
    let answer = api.get(&signed_with_ed25519(Some("invented")), PATH).await;
    answer.is_problem(401, "unauthenticated");
    assert_eq!(keys.ready(), Ok(()), "the last ones stay in use");
    let warning = keys.warning().unwrap();
    assert!(warning.contains("longer than"), "{warning}");
}

#[tokio::test]
async fn a_token_for_another_audience_or_of_another_issuer_is_401() {
    let expected = ExpectedClaims {
        audience: Some("plaudit".to_owned()),
        issuer: Some("https://id.example".to_owned()),
    };
    let keys = KeyOptions { hs256_secret: Some(SECRET.to_owned()), jwks: None, expected };
    let api = Api::with_keys(keys).await;
    let mut good = claims();
    (good["aud"], good["iss"]) = (json!(["plaudit", "shop"]), json!("https://id.example"));
    assert_eq!(api.get(&token(good.clone()), PATH).await.status, 200);
    api.get(&token(claims()), PATH).await.is_problem(401, "unauthenticated");
    good["aud"] = json!("shop");
    api.get(&token(good), PATH).await.is_problem(401, "unauthenticated");
}
