//! Checks that an instance takes over the partitions of one that has stopped.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{APPLIED_MAX, Chaos};
use crate::soak::ACTIONS_PARTITIONS;
use crate::soak::error::SoakError;

/// Interval between looks, each of which starts a process.
const GLANCE: Duration = Duration::from_millis(250);

impl Chaos {
    /// Waits until the other instance has applied records of every partition that arrived after
    /// `gone` stopped.
    pub(super) async fn wait_for_takeover(&mut self, gone: usize) -> Result<(), SoakError> {
        let begun = Instant::now();
        let mut ends = BTreeMap::new();
        let mut last = String::new();
        while begun.elapsed() < APPLIED_MAX {
            let output = self.program.run(&["ingest", "status", "--format", "json"]).await?;
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            if ends.len() < usize::try_from(ACTIONS_PARTITIONS).unwrap_or_default() {
                ends = offsets(&status, "end_offset"); // the first answer that is whole
            }
            let applied = offsets(&status, "next_offset");
            let is_beyond = |(partition, end): (&i64, &i64)| applied.get(partition) > Some(end);
            if ends.len() == applied.len() && !ends.is_empty() && ends.iter().all(is_beyond) {
                self.damage.takeovers.push(begun.elapsed().as_secs_f64());
                return Ok(());
            }
            last = format!("ends were {ends:?}, applied {applied:?}");
            tokio::time::sleep(GLANCE).await;
        }
        let (name, seconds) = (&self.instances[gone].name, APPLIED_MAX.as_secs());
        let what = format!("{name} was away for {seconds} s; {last}");
        self.findings.add("nobody took over", what);
        Ok(())
    }
}

/// Returns an offset of each partition.
fn offsets(status: &Value, name: &str) -> BTreeMap<i64, i64> {
    let topics = status["topics"].as_array().map_or(&[][..], Vec::as_slice);
    let partitions = topics.iter().filter_map(|topic| topic["partitions"].as_array()).flatten();
    partitions.filter_map(|p| Some((p["partition"].as_i64()?, p[name].as_i64()?))).collect()
}
