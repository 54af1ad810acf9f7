//! A payer that gives no answer any more.

use std::time::{Duration, Instant};

use super::Chaos;
use crate::soak::payers::CHANNEL;

/// From the first message without an answer until an instance warns of the endpoint: five messages of a
/// second each, and something must be due at all.
const NOTICED_MAX: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(250);

impl Chaos {
    /// Lets the webhook be dead until an instance leaves it alone and says so.
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
