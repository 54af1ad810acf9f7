//! What Kafka still has of the past, for plans.

use jiff::Timestamp;
use plaudit_api::{PastLookup, PastRecords};
use plaudit_ingest::backfill::plan::past_records;

use crate::commands::serve::{ingest_options, sources};
use crate::config::Config;
use crate::failure::Failure;

/// Asks the brokers of the configuration, if it names any.
pub fn past_lookup(config: &Config) -> PastLookup {
    let options = || -> Result<_, Failure> { ingest_options(config, &sources(config)?) };
    let options = match options() {
        Ok(options) => options,
        Err(why) => return PastLookup::none(&why.to_string()),
    };
    PastLookup::new(move |from: Timestamp| {
        let options = options.clone();
        async move {
            let found = past_records(&options, from).await?;
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
