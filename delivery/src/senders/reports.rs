//! Stores the outcomes of attempts, first in the users' histories, then in the table of deliveries.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::Verdict;
use plaudit_event_store::deliveries::{self, Due, Noted};
use plaudit_event_store::{ExecuteError, Item, Origin, SettleDeliveries};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Desk, is_about_lanes};

/// The outcome of an attempt.
#[derive(Debug, Clone)]
pub struct Report {
    pub due: Due,
    /// The attempt's verdict on the grant, until it is stored in the user's history. It must be
    /// stored only once: a second time it could undo a redelivery requested in between.
    pub verdict: Option<Verdict>,
    pub noted: Noted,
}

impl Desk {
    /// Stores the outcomes of attempts, and earlier ones that could not be stored. Keeps those that
    /// fail.
    pub async fn store(&mut self, reports: Vec<Report>) -> Result<(), ExecuteError> {
        let mut all = std::mem::take(&mut self.unstored);
        all.extend(reports);
        let (now, later): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|report| !self.stuck.is_left_out(report.due.lane));
        self.unstored = later;
        if now.is_empty() {
            return Ok(());
        }
        let left_out = match self.tell(&now).await {
            Ok(left_out) => left_out,
            Err(error) => {
                self.unstored.extend(now);
                return Err(error);
            }
        };
        let (kept, mut stored): (Vec<_>, Vec<_>) =
            now.into_iter().partition(|report| left_out.contains(&report.due.lane));
        self.unstored.extend(kept);
        stored.iter_mut().for_each(|report| report.verdict = None);
        self.note(stored).await
    }

    /// Stores attempts in the table of deliveries; lane by lane if that is refused.
    async fn note(&mut self, reports: Vec<Report>) -> Result<(), ExecuteError> {
        let Err(error) = self.try_note(&reports).await else {
            reports.iter().for_each(|report| self.take_in(report.due.lane));
            return Ok(());
        };
        if !is_about_lanes(&error) {
            self.unstored.extend(reports);
            return Err(error);
        }
        let mut by_lane: BTreeMap<Lane, Vec<Report>> = BTreeMap::new();
        for report in reports {
            by_lane.entry(report.due.lane).or_default().push(report);
        }
        for (lane, reports) in by_lane {
            if let Err(error) = self.try_note(&reports).await {
                self.unstored.extend(reports);
                self.leave_out(lane, &error);
            }
        }
        Ok(())
    }

    async fn try_note(&self, reports: &[Report]) -> Result<(), ExecuteError> {
        let noted: Vec<Noted> = reports.iter().map(|report| report.noted.clone()).collect();
        let channel = &self.name;
        let note = async |connection: &mut PgConnection| {
            deliveries::note(channel, &noted, connection).await
        };
        Ok(self.call(note).await?)
    }

    /// Writes the verdicts into the users' histories. Returns the lanes where that was not
    /// possible.
    pub async fn tell(&mut self, reports: &[Report]) -> Result<BTreeSet<Lane>, ExecuteError> {
        let outdated = self.outdated_failures(reports).await?;
        let mut by_user: BTreeMap<(Lane, &UserId), Vec<&Report>> = BTreeMap::new();
        for report in reports.iter().filter(|report| report.due.pays) {
            by_user.entry((report.due.lane, &report.due.user)).or_default().push(report);
        }
        let at = Timestamp::now();
        let mut items = Vec::new();
        for ((lane, user), reports) in by_user {
            let settled: Vec<_> = reports
                .iter()
                .filter_map(|r| Some((r.due.reward.grant, r.verdict.clone()?)))
                .filter(|(grant, _)| !outdated.contains(grant))
                .collect();
            let item = |work| Item { lane, work, origin: Origin::Follower };
            if !settled.is_empty() {
                items.push(item(SettleDeliveries { user: user.clone(), settled, at }));
            }
        }
        Ok(self.execute(items).await?.left_out)
    }

    /// Returns the grants whose failure is outdated, because an operator has requested a redelivery
    /// since, perhaps by another channel. Such a failure says nothing about the new delivery; a
    /// payment by the old one counts all the same.
    async fn outdated_failures(&self, reports: &[Report]) -> Result<BTreeSet<Uuid>, ExecuteError> {
        let has_failed = |report: &&Report| matches!(report.verdict, Some(Verdict::Failed { .. }));
        let failed: Vec<&Due> =
            reports.iter().filter(has_failed).map(|report| &report.due).collect();
        if failed.is_empty() {
            return Ok(BTreeSet::new());
        }
        let look = async |connection: &mut PgConnection| {
            deliveries::still_current(&failed, connection).await
        };
        let current = self.call(look).await?;
        let grants = failed.iter().map(|due| due.reward.grant);
        Ok(grants.filter(|grant| !current.contains(grant)).collect())
    }
}
