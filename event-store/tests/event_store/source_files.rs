//! Published source files: versions never change, and publications are atomic.

use crate::support::Store;
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::source_files::{self, FilePublished, PublishedFile};

const TASKS: &str = "
tasks:
  - { id: gifts, kind: ordinary, text: { en: { title: Gifts } }, objective: { on: gift.sent, target: 1 } }
";

fn author(reason: Option<&str>) -> Author {
    Author { by: "ann".to_owned(), reason: reason.map(str::to_owned) }
}

fn file(name: &str, content: &str) -> (String, String) {
    (name.to_owned(), content.to_owned())
}

async fn publish(store: &Store, files: &[(String, String)]) -> Vec<FilePublished> {
    let accept = |_: &[PublishedFile]| Ok::<_, sqlx::Error>(());
    source_files::publish(&store.pool, files, &author(Some("why")), accept).await.unwrap()
}

async fn in_force(store: &Store) -> Vec<(String, u32, String)> {
    let files = source_files::in_force(&store.pool).await.unwrap().files;
    files.into_iter().map(|file| (file.name, file.version, file.content)).collect()
}

#[tokio::test]
async fn the_last_version_of_each_file_is_in_force() {
    let store = Store::with_tasks(TASKS).await;
    assert_eq!(in_force(&store).await, []);
    let before = source_files::identity(&store.pool).await.unwrap();
    publish(&store, &[file("b.yaml", "1"), file("a.yaml", "1")]).await;
    let after = source_files::identity(&store.pool).await.unwrap();
    assert_ne!(before, after);
    let again = publish(&store, &[file("a.yaml", "1")]).await;
    assert_eq!((again[0].version, again[0].changed), (1, false));
    assert_eq!(source_files::identity(&store.pool).await.unwrap(), after);

    publish(&store, &[file("a.yaml", "2")]).await;
    let expected = [("a.yaml", 2, "2"), ("b.yaml", 1, "1")];
    let expected =
        expected.map(|(name, version, text)| (name.to_owned(), version, text.to_owned()));
    assert_eq!(in_force(&store).await, expected);
    let withdrawn = source_files::withdraw(&store.pool, "a.yaml", &author(None)).await.unwrap();
    assert_eq!(withdrawn, Some(3));
    assert_eq!(source_files::withdraw(&store.pool, "a.yaml", &author(None)).await.unwrap(), None);
    assert_eq!(in_force(&store).await, expected[1..]);
    // A file published again after a withdrawal gets a new version, even with the same content.
    assert_eq!(publish(&store, &[file("a.yaml", "2")]).await[0].version, 4);

    let history = source_files::history(&store.pool, "a.yaml").await.unwrap();
    let contents: Vec<Option<&str>> = history.iter().map(|v| v.content.as_deref()).collect();
    assert_eq!(contents, [Some("1"), Some("2"), None, Some("2")]);
    assert_eq!((history[0].by.as_str(), history[0].reason.as_deref()), ("ann", Some("why")));
    assert_eq!(history[2].reason, None);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let store = Store::with_tasks(TASKS).await;
    publish(&store, &[file("a.yaml", "1")]).await;
    let mut seen = Vec::new();
    let refuse = |after: &[PublishedFile]| {
        seen = after.to_vec();
        Err(sqlx::Error::RowNotFound)
    };
    let files = [file("a.yaml", "2"), file("b.yaml", "1")];
    source_files::publish(&store.pool, &files, &author(None), refuse).await.unwrap_err();
    let seen: Vec<(&str, &str)> =
        seen.iter().map(|file| (file.name.as_str(), file.content.as_str())).collect();
    assert_eq!(seen, [("a.yaml", "2"), ("b.yaml", "1")]);
    assert_eq!(in_force(&store).await, [("a.yaml".to_owned(), 1, "1".to_owned())]);
}

#[tokio::test]
async fn publications_at_the_same_time_are_versions_one_after_the_other() {
    let store = Store::with_tasks(TASKS).await;
    let files = ["1", "2", "3", "4"].map(|content| [file("a.yaml", content)]);
    let all = files.iter().map(|files| publish(&store, files));
    let mut versions: Vec<u32> =
        futures::future::join_all(all).await.iter().map(|published| published[0].version).collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_version_is_not_altered_by_accident() {
    let store = Store::with_tasks(TASKS).await;
    publish(&store, &[file("a.yaml", "1")]).await;
    for statement in [
        "update source_file_versions set content = '2'",
        "delete from source_file_versions",
        "truncate source_file_versions",
    ] {
        let refused = sqlx::query(statement).execute(&store.pool).await;
        assert!(refused.is_err(), "{statement}");
    }
}
