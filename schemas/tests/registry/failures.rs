//! A registry that is down or slow, and servers that are not registries.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use plaudit_actions::formats::{DecodeError, Format};
use serde_json::json;

use crate::recorded::{Answer, Recorded, decode, recorded, registry, value};

/// A value of schema 5.
fn score() -> Vec<u8> {
    value(5, b"7")
}

#[tokio::test]
async fn all_who_want_a_schema_share_one_fetch() {
    let recorded = Recorded::start().await;
    let registry = registry(&recorded.url);
    let score = score();
    let all = (0..16).map(|_| decode(&registry, Format::JsonSchema, &score));
    for decoded in futures::future::join_all(all).await {
        assert_eq!(decoded, Ok(json!(7)));
    }
    assert_eq!(recorded.asked_for("/schemas/ids/5"), 1);
    // The same holds for an unknown schema.
    for _ in 0..3 {
        let unknown = decode(&registry, Format::JsonSchema, &value(4711, b"7")).await;
        assert!(matches!(unknown, Err(DecodeError::Unreadable(_))));
    }
    assert_eq!(recorded.asked_for("/schemas/ids/4711"), 1);
}

#[tokio::test]
async fn a_registry_that_is_away_is_named_and_found_when_it_is_back() {
    let recorded = Recorded::start().await;
    let address = recorded.url.strip_prefix("http://").unwrap().to_owned();
    drop(recorded);
    let registry = registry(&format!("http://me:secret@{address}"));
    let away = decode(&registry, Format::JsonSchema, &score()).await.unwrap_err();
    let DecodeError::Unavailable(why) = away else { panic!("{away:?}") };
    let why = why.to_string();
    assert!(why.contains(&format!("the schema registry at http://{address} can't be")), "{why}");
    assert!(!why.contains("secret"), "{why}");
    let _back = Recorded::answering(super::recorded::recorded(), &address).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while decode(&registry, Format::JsonSchema, &score()).await != Ok(json!(7)) {
        assert!(Instant::now() < deadline, "the registry is not found again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_registry_that_gives_no_answer_is_waited_for_once() {
    let recorded = Recorded::start().await;
    recorded.hangs.store(true, Ordering::SeqCst);
    let registry = registry(&recorded.url);
    let began = Instant::now();
    let first = decode(&registry, Format::JsonSchema, &score()).await.unwrap_err();
    assert!(first.to_string().contains("no answer within 3 s"), "{first}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    // From now on the fetches run in the background.
    let began = Instant::now();
    for id in [5, 6, 5] {
        let again = decode(&registry, Format::JsonSchema, &value(id, b"7")).await;
        assert!(matches!(again, Err(DecodeError::Unavailable(_))), "{again:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn errors_of_the_server_and_other_servers_park_nothing() {
    let failing = Answer { status: 503, body: r#"{"message":"starting"}"#.to_owned() };
    let failing = BTreeMap::from([("/schemas/ids/5".to_owned(), failing)]);
    for (answers, expected) in [(failing, "503"), (BTreeMap::new(), "is not a schema registry")] {
        let recorded = Recorded::answering(answers, "127.0.0.1:0").await;
        let refused = decode(&registry(&recorded.url), Format::JsonSchema, &score()).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, DecodeError::Unavailable(_)), "{refused:?}");
        assert!(refused.to_string().contains(expected), "{refused}");
    }
}

/// Some registries, and proxies in front of them, answer a bare 404.
#[tokio::test]
async fn a_bare_404_of_a_registry_means_that_it_does_not_know() {
    let mut answers = recorded();
    answers.remove("/schemas/ids/4711");
    let recorded = Recorded::answering(answers, "127.0.0.1:0").await;
    let unknown = decode(&registry(&recorded.url), Format::Avro, &value(4711, b"")).await;
    assert!(matches!(unknown, Err(DecodeError::Unreadable(_))), "{unknown:?}");
}

#[tokio::test]
async fn a_registry_below_a_path_is_asked_there() {
    let answers = recorded();
    let below =
        answers.into_iter().map(|(path, answer)| (format!("/apis/ccompat/v7{path}"), answer));
    let recorded = Recorded::answering(below.collect(), "127.0.0.1:0").await;
    for slash in ["", "/"] {
        let registry = registry(&format!("{}/apis/ccompat/v7{slash}", recorded.url));
        assert_eq!(decode(&registry, Format::JsonSchema, &score()).await, Ok(json!(7)));
    }
}

#[test]
fn only_urls_of_servers_are_taken() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for bad in ["", "registry:8081", "ftp://registry", "file:///x", "http://"] {
        let refused = plaudit_schemas::SchemaRegistry::new(bad, runtime.handle().clone());
        assert!(refused.is_err(), "{bad}");
    }
}
