//! What happens while something is away.

use plaudit_ingest::IngestOptions;

use crate::world::World;

#[tokio::test]
async fn a_broker_that_does_not_answer_is_named_with_its_address() {
    let world = World::new(1).await;
    // Nobody listens on the discard port.
    let options = IngestOptions { brokers: "127.0.0.1:9".into(), ..world.options() };
    let reader = world.read_with(options.clone());
    reader.until_refused(&["127.0.0.1:9"]).await;
    let error = plaudit_ingest::status::status(&options, &world.pool).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:9"), "{error}");
    reader.stop().await;
}

#[tokio::test]
async fn a_database_that_drops_its_connections_loses_and_doubles_nothing() {
    let world = World::new(2).await;
    let options = IngestOptions { batch_max: 7, ..world.options() };
    let reader = world.read_with(options);
    for round in 0..20 {
        let ids = round * 10..(round + 1) * 10;
        world.gifts(0, ids.clone().map(|id| ("ann", id))).await;
        world.gifts(1, ids.map(|id| ("ben", id))).await;
        let drop = "select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and application_name = 'plaudit'";
        sqlx::query(drop).execute(&world.looking).await.unwrap();
    }
    world.until_coins(&[("ann", 200), ("ben", 200)]).await;
    reader.stop().await;
    assert!(world.parked().await.is_empty());
}

#[tokio::test]
async fn a_refused_configuration_names_the_property() {
    let world = World::new(1).await;
    let mut options = world.options();
    options.properties.insert("no.such.property".into(), "1".into());
    let error = plaudit_ingest::status::status(&options, &world.pool).await.unwrap_err();
    assert!(error.to_string().contains("no.such.property"), "{error}");
}
