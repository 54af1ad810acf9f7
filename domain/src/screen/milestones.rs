//! Milestones as shown: promised, reached, left unclaimed.

use super::{GrantScreen, MilestoneScreen, RewardScreen, UnclaimedScreen};
use crate::calendar::PeriodKey;
use crate::catalogue::definition::{Meta, Milestone, Payout, RewardLine};
use crate::catalogue::text::{Placeholders, in_locale};
use crate::catalogue::{CatalogueTask, TaskVersion};
use crate::ids::UserId;
use crate::user_tasks::event::grant_id;
use crate::user_tasks::{ClaimableMilestone, ReachedMilestone, RewardState};

/// The most milestones of earlier periods that a screen lists; it counts all of them.
pub const UNCLAIMED_SHOWN_MAX: usize = 20;

/// A reader of the milestones of one task.
pub(super) struct Reader<'a> {
    pub user: &'a UserId,
    pub task: &'a CatalogueTask,
    /// BCP 47; `None` gives the default language.
    pub locale: Option<&'a str>,
    /// What counted in the period that is shown.
    pub progress: i64,
}

/// A line as it was granted, whatever the catalogue says by now.
struct Granted<'a> {
    line: &'a str,
    pays: Payout,
    state: RewardState,
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
                .filter_map(|line| self.promised_line(version, m.at, line))
                .collect(),
            meta: m.meta.clone(),
        });
        let reached = reached.iter().map(|r| {
            let lines = r.lines.iter().map(|line| Granted {
                line: &line.line,
                pays: Payout {
                    kind: line.kind.clone(),
                    code: line.code.clone(),
                    amount: line.amount,
                },
                state: line.state,
            });
            MilestoneScreen {
                at: r.at,
                reached_at: Some(r.reached_at),
                rewards: self.granted_lines(&r.period, r.version, r.at, lines),
                meta: self
                    .milestone(r.version, r.at)
                    .map_or_else(Meta::new, |(_, m)| m.meta.clone()),
            }
        });
        let mut all: Vec<_> = promised.chain(reached).collect();
        all.sort_by_key(|m| m.at);
        all
    }

    /// What can be claimed and is not among `shown`: the oldest ones, oldest first.
    pub fn unclaimed_beside(
        &self,
        claimable: &[ClaimableMilestone],
        shown: &[ReachedMilestone],
    ) -> Vec<UnclaimedScreen> {
        let mut beside: Vec<_> = claimable.iter().filter(|c| !is_among(c, shown)).collect();
        beside.sort_by_key(|c| c.order());
        let unclaimed = |c: &&ClaimableMilestone| {
            let lines = c.rewards.iter().map(|reward| Granted {
                line: &reward.line,
                pays: Payout {
                    kind: reward.kind.clone(),
                    code: reward.code.clone(),
                    amount: reward.amount,
                },
                state: RewardState::Claimable,
            });
            UnclaimedScreen {
                period: c.period.clone(),
                at: c.at,
                reached_at: c.reached_at,
                rewards: self.granted_lines(&c.period.key, c.version, c.at, lines),
            }
        };
        beside.iter().take(UNCLAIMED_SHOWN_MAX).map(unclaimed).collect()
    }

    /// A milestone as the version promised it that was in force.
    fn milestone(&self, version: u32, at: i64) -> Option<(&TaskVersion, &Milestone)> {
        let version = self.task.version(version)?;
        let milestone = version.definition.milestones.iter().find(|m| m.at == at)?;
        Some((version, milestone))
    }

    fn promised_line(
        &self,
        version: &TaskVersion,
        at: i64,
        line: &RewardLine,
    ) -> Option<RewardScreen> {
        let pays = line.fixed()?.clone();
        Some(self.line(at, &line.line, pays, None, Some((version, line))))
    }

    /// What was granted, with the title and the meta of the version that promised it.
    fn granted_lines<'l>(
        &self,
        period: &PeriodKey,
        version: u32,
        at: i64,
        lines: impl Iterator<Item = Granted<'l>>,
    ) -> Vec<RewardScreen> {
        let promised = self.milestone(version, at);
        let shown = |granted: Granted<'_>| {
            let promised = promised.and_then(|(version, milestone)| {
                let line = milestone.rewards.iter().find(|line| line.line == granted.line)?;
                Some((version, line))
            });
            let grant = GrantScreen {
                grant: grant_id(self.user, &self.task.id, period, at, granted.line),
                state: granted.state,
                claim_until: None,
            };
            self.line(at, granted.line, granted.pays, Some(grant), promised)
        };
        lines.map(shown).collect()
    }

    fn line(
        &self,
        at: i64,
        name: &str,
        pays: Payout,
        granted: Option<GrantScreen>,
        promised: Option<(&TaskVersion, &RewardLine)>,
    ) -> RewardScreen {
        let Payout { kind, code, amount } = pays;
        let title = promised.and_then(|(version, line)| {
            in_locale(&line.title, self.locale, &version.definition.default_locale)
        });
        let (progress, pays) = (self.progress, Some(amount));
        let placeholders = Placeholders { target: at, progress, amount: pays };
        RewardScreen {
            granted,
            line: name.to_owned(),
            kind,
            code,
            amount,
            title: title.map(|title| placeholders.fill(title)),
            meta: promised.map_or_else(Meta::new, |(_, line)| line.meta.clone()),
        }
    }
}

/// How many milestones can be claimed and are not among `shown`, of `count` in all.
pub(super) fn count_beside(count: u64, shown: &[ReachedMilestone]) -> u64 {
    let is_claimable =
        |r: &&ReachedMilestone| r.lines.iter().any(|line| line.state == RewardState::Claimable);
    count.saturating_sub(shown.iter().filter(is_claimable).count() as u64)
}

fn is_among(claimable: &ClaimableMilestone, shown: &[ReachedMilestone]) -> bool {
    shown.iter().any(|r| r.period == claimable.period.key && r.at == claimable.at)
}
