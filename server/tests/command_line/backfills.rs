//! `plaudit tasks backfill`, and the part of a plan about past actions.

use plaudit_embedded::test_cluster;

use crate::program::{migrated, plaudit, scratch, text};

const VETERAN: &str = "
tasks:
  - id: veteran
    kind: ordinary
    objective: { on: team.formed, target: 50 }
    backfill: { from: 2026-01-01T00:00:00Z }
";

#[tokio::test]
async fn a_backfill_is_planned_shown_and_cancelled() {
    let url = migrated().await;
    let brokers = test_cluster::kafka_brokers().await;
    let topic = test_cluster::create_topic("past", 2).await;
    let environment = [
        ("PLAUDIT_DATABASE_URL", url.as_str()),
        ("PLAUDIT_KAFKA_BROKERS", &brokers),
        ("PLAUDIT_KAFKA_TOPICS", &topic),
    ];
    let run = |arguments: &[&str]| plaudit(arguments, &environment);
    let file = scratch("veteran.yaml", VETERAN);
    let file = file.to_str().unwrap();
    let planned = text(&run(&["tasks", "plan", file]).stdout);
    assert!(planned.contains("reads up to 0 records in 2 partitions again"), "{planned}");
    let without = plaudit(&["tasks", "plan", file], &[("PLAUDIT_DATABASE_URL", &url)]);
    let without = text(&without.stdout);
    assert!(without.contains("can't find out what Kafka still has"), "{without}");
    assert!(run(&["tasks", "publish", file]).status.success());
    let shown = text(&run(&["tasks", "backfill", "status", "veteran"]).stdout);
    assert!(shown.contains("running") && shown.contains("rewards: grant"), "{shown}");
    let cancelled = run(&["tasks", "backfill", "cancel", "veteran", "--reason", "a mistake"]);
    assert!(text(&cancelled.stdout).contains("cancelled"), "{}", text(&cancelled.stderr));
    assert!(text(&run(&["tasks", "backfill", "status"]).stdout).contains("1 backfill"));
    let over = run(&["tasks", "backfill", "resume", "veteran"]);
    assert!(text(&over.stderr).contains("is cancelled"), "{}", text(&over.stderr));
}
