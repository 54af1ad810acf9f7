//! The payers must have paid every reward once and nothing else, and plaudit's books must say so.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::rewards::{PUBLISHED_MAX, SILENCE};
use super::{Audit, GLANCE, must};
use crate::soak::action::user_name;
use crate::soak::error::SoakError;
use crate::soak::oracle::{Grant, grants};
use crate::soak::payers::{KIND, Payment, Payments, Way, acknowledgement};
use crate::soak::program::said;

/// Time limit for well-behaved payers to pay all that is due.
const DELIVERED_MAX: Duration = Duration::from_secs(120);
/// Interval between resyncs, so that lines on their way have time to arrive.
const RESYNC_EVERY: Duration = Duration::from_secs(10);
/// The most delivered lines that the payer calls failed at the end.
const CONTRADICTIONS: usize = 20;
/// States in which a payer still has to pay a line or to acknowledge it.
const UNDELIVERED: [&str; 3] = ["claimed", "delivering", "failed"];

impl Audit {
    /// Waits until plaudit's books show everything as delivered. Like an operator, sends again what
    /// payers have refused or forgotten.
    pub(super) async fn deliver_the_rest(&self) -> Result<(), SoakError> {
        let (begun, mut sent_at) = (Instant::now(), None);
        loop {
            let mut left = Vec::new();
            for state in UNDELIVERED {
                left.extend(self.grants_in(state).await?);
            }
            if left.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > DELIVERED_MAX {
                for grant in left {
                    self.findings.add("not delivered in the end", grant.to_string());
                }
                return Ok(());
            }
            if sent_at.is_none_or(|at: Instant| at.elapsed() > RESYNC_EVERY) {
                let since = self.since.to_string();
                let reason = ["--reason", "the payers are back"];
                let arguments = [&["rewards", "resync", "--since", &since][..], &reason].concat();
                let output = self.program.run(&arguments).await?;
                // Lines that are delivered while it runs are refused, as they should be.
                tracing::info!("soak: {}", said(&output));
                sent_at = Some(Instant::now());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Returns the first thousand grants in a state.
    async fn grants_in(&self, state: &str) -> Result<Vec<Value>, SoakError> {
        let query = [("state", state.to_owned()), ("limit", "1000".to_owned())];
        let read = || self.api.get_as_operator(&["v1", "grants"], &query);
        let page = must(&format!("the grants in {state}"), read).await?;
        Ok(page["grants"].as_array().cloned().unwrap_or_default())
    }

    /// Reports some delivered lines as failed. The comparison of users checks that this changes
    /// nothing.
    pub(super) async fn contradict(&self) -> Result<(), SoakError> {
        let delivered = self.grants_in("delivered").await?;
        let actions: Vec<Value> = delivered
            .iter()
            .take(CONTRADICTIONS)
            .filter_map(|grant| {
                let id = grant["grant"].as_str()?.parse().ok()?;
                Some(acknowledgement(grant["user"].as_str()?, id, false, "in-the-end"))
            })
            .collect();
        let answer = must("what the payer says in the end", || self.api.post_actions(&actions));
        let outcomes = answer.await?["outcomes"].as_array().cloned().unwrap_or_default();
        let accepted = outcomes.iter().filter(|one| one["outcome"] == "accepted").count();
        if accepted != actions.len() || actions.is_empty() {
            let what = format!("{accepted} of {} accepted", actions.len());
            self.findings.add("what a payer says is not kept", what);
        }
        Ok(())
    }

    /// Compares what each payer paid with what was due from it. Returns the number of lines paid by
    /// webhook and by topic.
    pub(super) async fn check_payers(&self) -> (usize, usize) {
        let is_due = |grant: &Grant| grant.automatic || self.claimed.contains(&grant.id);
        let earned = self.books.iter().flat_map(|(user, book)| grants(*user, book));
        let (mut by_webhook, mut by_topic) = (Payments::new(), Payments::new());
        for Grant { id, user, reward, .. } in earned.filter(is_due) {
            let (user, code) = (user_name(user), reward.code.to_owned());
            let due = if reward.kind == KIND { &mut by_webhook } else { &mut by_topic };
            due.insert(id, Payment { user, code, amount: reward.amount });
        }
        let paid = (
            self.compare_payer(Way::Webhook, &by_webhook).await,
            self.compare_payer(Way::Topic, &by_topic).await,
        );
        for wrong in self.payers.wrong() {
            self.findings.add("a wrong word to a payer", wrong);
        }
        paid
    }

    /// Compares what one payer paid. Returns the number of lines.
    async fn compare_payer(&self, way: Way, due: &Payments) -> usize {
        let begun = Instant::now();
        let paid = loop {
            let paid = self.payers.paid(way);
            let is_complete = due.keys().all(|id| paid.contains_key(id));
            let is_quiet = self.payers.quiet_for() > SILENCE;
            if (is_complete && is_quiet) || begun.elapsed() > PUBLISHED_MAX {
                break paid;
            }
            tokio::time::sleep(GLANCE).await;
        };
        for (id, payment) in &paid {
            match due.get(id) {
                Some(due) if due == payment => {}
                Some(due) => {
                    let what = format!("{way:?} {id}: {payment:?}, expected {due:?}");
                    self.findings.add("a payer paid otherwise than earned", what);
                }
                None => {
                    let what = format!("{way:?} {id}: {payment:?}");
                    self.findings.add("a payer paid what is not due", what);
                }
            }
        }
        for (id, due) in due.iter().filter(|(id, _)| !paid.contains_key(id)) {
            self.findings.add("a payer never paid", format!("{way:?} {id}: {due:?}"));
        }
        paid.len()
    }
}
