//! A payer that stops answering.

use std::time::{Duration, Instant};

use super::Chaos;
use crate::soak::payers::CHANNEL;

/// Time limit from the first unanswered message until an instance warns of the endpoint. That takes
/// five messages of a second each, and lines that are due.
const NOTICED_MAX: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(250);

impl Chaos {
    /// Silences the webhook until an instance reports that its channel makes no progress.
    pub(super) async fn silence_payer(&self) {
        let before = self.payers.unanswered();
        self.payers.silence(true);
        let begun = Instant::now();
        let warning = format!("the channel {CHANNEL} makes no progress, its rewards wait");
        let mut is_noticed = false;
        while !is_noticed && begun.elapsed() < NOTICED_MAX {
            tokio::time::sleep(GLANCE).await;
            if self.payers.unanswered() == before {
                continue; // what is said now is about failures of before
            }
            for number in 0..self.instances.len() {
                let answer = self.api.probe(number, "/readyz").await;
                is_noticed |= answer.is_ok_and(|(_, body)| body.contains(&warning));
            }
        }
        self.payers.silence(false);
        if !is_noticed {
            let what = format!("/readyz of no instance says so within {} s", NOTICED_MAX.as_secs());
            self.findings.add("a dead payer is not left alone", what);
        }
    }
}
