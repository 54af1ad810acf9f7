//! Tests of the databases and topics that other crates' tests get.

use plaudit_embedded::test_cluster;
use sqlx::{Connection, PgConnection};

#[tokio::test]
async fn a_database_is_a_copy_of_its_template_and_shared_with_no_other() {
    let template = test_cluster::create_database("template").await;
    let mut connection = PgConnection::connect(&template).await.unwrap();
    sqlx::query("create table migrated ()").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let name = test_cluster::database_name(&template);
    let copy = test_cluster::create_database_from(name, "copy").await;
    let other = test_cluster::create_database("copy").await;
    assert_ne!(copy, other);
    let mut connection = PgConnection::connect(&copy).await.unwrap();
    sqlx::query("select from migrated").execute(&mut connection).await.unwrap();
    let mut connection = PgConnection::connect(&other).await.unwrap();
    assert!(sqlx::query("select from migrated").execute(&mut connection).await.is_err());

    for url in [template, copy, other] {
        test_cluster::drop_database(&url).await;
        assert!(PgConnection::connect(&url).await.is_err());
    }
}

#[tokio::test]
async fn topics_of_one_prefix_are_apart() {
    let first = test_cluster::create_topic("actions", 4).await;
    let second = test_cluster::create_topic("actions", 1).await;
    assert_ne!(first, second);
    assert!(first.starts_with("actions-"));
    test_cluster::delete_topic(&first).await;
    test_cluster::delete_topic(&second).await;
}
