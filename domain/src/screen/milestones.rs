//! Milestones as shown: promised, reached, left unclaimed.

use super::{GrantScreen, MilestoneScreen, RewardScreen, UnclaimedScreen};
use crate::calendar::PeriodKey;
use crate::catalogue::definition::{Meta, Milestone, Payout, RewardLine};
use crate::catalogue::text::{Placeholders, in_locale};
use crate::catalogue::{CatalogueTask, TaskVersion};
use crate::ids::UserId;
use crate::user_tasks::event::grant_id;
use crate::user_tasks::{ReachedMilestone, RewardState, Unsettled};

/// Who sees the milestones of which task.
pub(super) struct Reader<'a> {
    pub user: &'a UserId,
    pub task: &'a CatalogueTask,
    /// BCP 47; `None` gives the default language.
    pub locale: Option<&'a str>,
    /// What counted in the period that is shown.
    pub progress: i64,
}

impl Reader<'_> {
    /// The milestones of `version`, and those reached under an earlier one that are no longer in it.
    pub fn milestones(
        &self,
        version: &TaskVersion,
        reached: &[ReachedMilestone],
    ) -> Vec<MilestoneScreen> {
        let promised = version.definition.milestones.iter();
        let promised = promised.filter(|m| !reached.iter().any(|r| r.at == m.at));
        let promised = promised.map(|m| MilestoneScreen {
            at: m.at,
            reached_at: None,
            rewards: m
                .rewards
                .iter()
                .filter_map(|line| self.shown(version, m.at, line, None))
                .collect(),
            meta: m.meta.clone(),
        });
        let reached = reached.iter().map(|r| MilestoneScreen {
            at: r.at,
            reached_at: Some(r.reached_at),
            rewards: self.granted(&r.period, r.version, r.at, |line| {
                r.lines.iter().find(|(name, _)| name == line).map(|(_, state)| *state)
            }),
            meta: self.promised(r.version, r.at).map_or_else(Meta::new, |(_, m)| m.meta.clone()),
        });
        let mut all: Vec<_> = promised.chain(reached).collect();
        all.sort_by_key(|m| m.at);
        all
    }

    /// What can be claimed and is not among `shown`, oldest first.
    pub fn unclaimed_beside(
        &self,
        unsettled: &[Unsettled],
        shown: &[ReachedMilestone],
    ) -> Vec<UnclaimedScreen> {
        let is_shown =
            |u: &Unsettled| shown.iter().any(|r| r.period == u.period.key && r.at == u.at);
        let beside = unsettled.iter().filter(|u| !is_shown(u));
        let mut all: Vec<_> = beside
            .map(|u| UnclaimedScreen {
                period: u.period.clone(),
                at: u.at,
                reached_at: u.reached_at,
                rewards: self
                    .granted(&u.period.key, u.version, u.at, |_| Some(RewardState::Claimable)),
            })
            .collect();
        all.sort_by_key(|u| (u.period.starts_at, u.at));
        all
    }

    /// A milestone as the version promised it that was in force.
    fn promised(&self, version: u32, at: i64) -> Option<(&TaskVersion, &Milestone)> {
        let version = self.task.version(version)?;
        let milestone = version.definition.milestones.iter().find(|m| m.at == at)?;
        Some((version, milestone))
    }

    /// The lines of a reached milestone.
    fn granted(
        &self,
        period: &PeriodKey,
        version: u32,
        at: i64,
        state_of: impl Fn(&str) -> Option<RewardState>,
    ) -> Vec<RewardScreen> {
        let Some((version, milestone)) = self.promised(version, at) else { return Vec::new() };
        let grant = |line: &RewardLine| {
            let grant = grant_id(self.user, &self.task.id, period, at, &line.line);
            state_of(&line.line).map(|state| GrantScreen { grant, state, claim_until: None })
        };
        let lines = milestone.rewards.iter();
        lines.filter_map(|line| self.shown(version, at, line, grant(line))).collect()
    }

    fn shown(
        &self,
        version: &TaskVersion,
        at: i64,
        line: &RewardLine,
        granted: Option<GrantScreen>,
    ) -> Option<RewardScreen> {
        let Payout { kind, code, amount } = line.fixed()?.clone();
        let title = in_locale(&line.title, self.locale, &version.definition.default_locale);
        let (progress, pays) = (self.progress, Some(amount));
        let placeholders = Placeholders { target: at, progress, amount: pays };
        Some(RewardScreen {
            granted,
            line: line.line.clone(),
            kind,
            code,
            amount,
            title: title.map(|title| placeholders.fill(title)),
            meta: line.meta.clone(),
        })
    }
}
