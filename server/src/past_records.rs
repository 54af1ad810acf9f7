//! Past records that Kafka still has, for plans.

use std::sync::Arc;

use jiff::Timestamp;
use plaudit_actions::sources::Sources;
use plaudit_api::{PastLookup, PastRecords};
use plaudit_ingest::backfill::plan::past_records;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::commands::serve::ingest_options;
use crate::config::Config;

/// Makes a lookup that asks the configured brokers, if there are any, about the configured topics
/// and those of the sources.
pub fn past_lookup(
    config: &Config,
    sources: watch::Receiver<Arc<Sources>>,
    pool: &PgPool,
) -> PastLookup {
    let options = match ingest_options(config) {
        Ok(options) => options,
        Err(why) => return PastLookup::none(&why.to_string()),
    };
    let pool = pool.clone();
    PastLookup::new(move |from: Timestamp| {
        let options = options.clone().with_topics_of(&sources.borrow());
        let pool = pool.clone();
        async move {
            let found = past_records(&options, from, &pool).await?;
            let records = found.into_iter().map(|found| PastRecords {
                topic: found.topic,
                partition: found.partition,
                records: found.records,
                kept_from: found.kept_from,
            });
            Ok(records.collect())
        }
    })
}
