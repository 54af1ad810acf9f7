//! Milestones as shown: promised, reached, left unclaimed.

use super::{GrantScreen, MilestoneScreen, RewardScreen, UnclaimedScreen};
use jiff::Timestamp;

use crate::calendar::PeriodKey;
use crate::catalogue::definition::{Meta, Milestone, Payout, RewardLine, Rewards, WeightedPayout};
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
    /// The progress of the period that is shown.
    pub progress: i64,
    /// The moment of the read.
    pub now: Timestamp,
}

/// A line as it was granted, whatever the catalogue says now.
struct Granted<'a> {
    line: &'a str,
    pays: Payout,
    state: RewardState,
    claim_until: Option<Timestamp>,
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
            rewards: m.rewards.iter().map(|line| self.promised_line(version, m.at, line)).collect(),
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
                state: line.state.as_of(&r.terms, self.now),
                claim_until: r.terms.claim_until,
            });
            MilestoneScreen {
                at: r.at,
                reached_at: Some(r.reached_at),
                rewards: self.granted_lines(&r.period, r.version, r.at, lines),
                meta: self.meta_of(r.version, r.at),
            }
        });
        let mut all: Vec<_> = promised.chain(reached).collect();
        all.sort_by_key(|m| m.at);
        all
    }

    /// The claimable milestones that are not among `shown`: the oldest ones, oldest first.
    pub fn unclaimed_beside(
        &self,
        claimable: &[ClaimableMilestone],
        shown: &[ReachedMilestone],
    ) -> Vec<UnclaimedScreen> {
        let is_open = |c: &&ClaimableMilestone| c.terms.lapsed(self.now).is_none();
        let beside = claimable.iter().filter(is_open).filter(|c| !is_among(c, shown));
        let mut beside: Vec<_> = beside.collect();
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
                claim_until: c.terms.claim_until,
            });
            UnclaimedScreen {
                period: c.period.clone(),
                at: c.at,
                reached_at: c.reached_at,
                rewards: self.granted_lines(&c.period.key, c.version, c.at, lines),
                meta: self.meta_of(c.version, c.at),
            }
        };
        beside.iter().take(UNCLAIMED_SHOWN_MAX).map(unclaimed).collect()
    }

    /// The number of claimable milestones that are not among `shown`. `count` is the number of all.
    pub fn count_beside(&self, count: u64, shown: &[ReachedMilestone]) -> u64 {
        let is_claimable = |r: &&ReachedMilestone| {
            let mut states = r.lines.iter().map(|line| line.state.as_of(&r.terms, self.now));
            states.any(|state| state == RewardState::Claimable)
        };
        count.saturating_sub(shown.iter().filter(is_claimable).count() as u64)
    }

    /// A milestone as promised by the version that was in force.
    fn milestone(&self, version: u32, at: i64) -> Option<(&TaskVersion, &Milestone)> {
        let version = self.task.version(version)?;
        let milestone = version.definition.milestones.iter().find(|m| m.at == at)?;
        Some((version, milestone))
    }

    /// The `meta` of a milestone in the version that promised it.
    fn meta_of(&self, version: u32, at: i64) -> Meta {
        self.milestone(version, at).map_or_else(Meta::new, |(_, milestone)| milestone.meta.clone())
    }

    fn promised_line(&self, version: &TaskVersion, at: i64, line: &RewardLine) -> RewardScreen {
        let pays = line.fixed().cloned();
        let mut shown = self.line(at, &line.line, pays, None, Some((version, line)));
        if let Rewards::OneOf(choices) = &line.pays {
            let unbudgeted = |c: &WeightedPayout| WeightedPayout { budget: None, ..c.clone() };
            shown.one_of = choices.iter().map(unbudgeted).collect();
        }
        shown
    }

    /// The granted lines, with titles and `meta` from the version that promised them.
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
                claim_until: granted.claim_until,
            };
            self.line(at, granted.line, Some(granted.pays), Some(grant), promised)
        };
        lines.map(shown).collect()
    }

    fn line(
        &self,
        at: i64,
        name: &str,
        pays: Option<Payout>,
        granted: Option<GrantScreen>,
        promised: Option<(&TaskVersion, &RewardLine)>,
    ) -> RewardScreen {
        let title = promised.and_then(|(version, line)| {
            in_locale(&line.title, self.locale, &version.definition.default_locale)
        });
        let amount = pays.as_ref().map(|pays| pays.amount);
        let placeholders = Placeholders { target: at, progress: self.progress, amount };
        RewardScreen {
            granted,
            line: name.to_owned(),
            pays,
            one_of: Vec::new(),
            title: title.map(|title| placeholders.fill(title)),
            meta: promised.map_or_else(Meta::new, |(_, line)| line.meta.clone()),
        }
    }
}

fn is_among(claimable: &ClaimableMilestone, shown: &[ReachedMilestone]) -> bool {
    shown.iter().any(|r| r.period == claimable.period.key && r.at == claimable.at)
}
