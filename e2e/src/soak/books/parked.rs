//! The parked list must hold every unreadable record with its position and bytes, and no other.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{Audit, must};
use crate::soak::ACTIONS;
use crate::soak::error::SoakError;
use crate::soak::producer::Sent;
use crate::soak::traffic::Meaning;

/// The page size of a request.
const PAGE: &str = "1000";

impl Audit {
    /// Compares the list. Returns its length.
    pub(super) async fn check_parked(&self, sents: &[Sent]) -> Result<usize, SoakError> {
        let mut expected: HashMap<(i32, i64), &[u8]> = HashMap::new();
        for sent in sents {
            if let (Meaning::Parked(bytes), Some(place)) = (&sent.meaning, sent.place) {
                expected.insert(place, bytes);
            }
        }
        let listed = self.parked().await?;
        for entry in &listed {
            let place = entry["partition"].as_i64().and_then(|p| i32::try_from(p).ok());
            let place = place.zip(entry["offset"].as_i64());
            let bytes = STANDARD.decode(entry["bytes"].as_str().unwrap_or_default());
            let found = place.and_then(|place| expected.remove(&place));
            let same = found.is_some_and(|found| bytes.is_ok_and(|bytes| bytes == found));
            if entry["topic"] != ACTIONS || !same {
                self.findings.add("parked without cause, twice or altered", entry.to_string());
            }
        }
        for ((partition, offset), bytes) in expected {
            let text = String::from_utf8_lossy(bytes);
            let what = format!("{ACTIONS}/{partition}@{offset}: {text}");
            self.findings.add("garbage that is not parked", what);
        }
        Ok(listed.len())
    }

    async fn parked(&self) -> Result<Vec<Value>, SoakError> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let mut query = vec![("limit", PAGE.to_owned())];
            query.extend(after.take().map(|after| ("after", after)));
            let read = || self.api.get_as_operator(&["v1", "parked"], &query);
            let page = must("the parked list", read).await?;
            all.extend(page["parked"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => after = Some(next.to_owned()),
                None => return Ok(all),
            }
        }
    }
}
