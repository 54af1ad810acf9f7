//! Milestones as shown: promised, reached, left unclaimed.

use super::{GrantScreen, MilestoneScreen, RewardScreen, UnclaimedScreen};
use crate::calendar::PeriodKey;
use crate::catalogue::definition::RewardLine;
use crate::catalogue::{CatalogueTask, TaskVersion};
use crate::ids::UserId;
use crate::user_tasks::event::grant_id;
use crate::user_tasks::{ReachedMilestone, RewardState, Unsettled};

/// The milestones of `version`, and those reached under an earlier one that are no longer in it.
pub(super) fn of(
    user: &UserId,
    task: &CatalogueTask,
    version: &TaskVersion,
    reached: &[ReachedMilestone],
) -> Vec<MilestoneScreen> {
    let promised = version.definition.milestones.iter();
    let promised = promised.filter(|m| !reached.iter().any(|r| r.at == m.at));
    let promised = promised.map(|m| MilestoneScreen {
        at: m.at,
        reached_at: None,
        rewards: m.rewards.iter().map(|line| shown(line, None)).collect(),
    });
    let reached = reached.iter().map(|r| MilestoneScreen {
        at: r.at,
        reached_at: Some(r.reached_at),
        rewards: granted(user, task, &r.period, r.version, r.at, |line| {
            r.lines.iter().find(|(name, _)| name == line).map(|(_, state)| *state)
        }),
    });
    let mut all: Vec<_> = promised.chain(reached).collect();
    all.sort_by_key(|m| m.at);
    all
}

/// What can be claimed and is not among `shown`, oldest first.
pub(super) fn unclaimed_beside(
    user: &UserId,
    task: &CatalogueTask,
    unsettled: &[Unsettled],
    shown: &[ReachedMilestone],
) -> Vec<UnclaimedScreen> {
    let is_shown = |u: &Unsettled| shown.iter().any(|r| r.period == u.period.key && r.at == u.at);
    let beside = unsettled.iter().filter(|u| !is_shown(u));
    let mut all: Vec<_> = beside
        .map(|u| UnclaimedScreen {
            period: u.period.clone(),
            at: u.at,
            reached_at: u.reached_at,
            rewards: granted(user, task, &u.period.key, u.version, u.at, |_| {
                Some(RewardState::Claimable)
            }),
        })
        .collect();
    all.sort_by_key(|u| (u.period.starts_at, u.at));
    all
}

/// The lines of a reached milestone as the version promised them that was in force.
fn granted(
    user: &UserId,
    task: &CatalogueTask,
    period: &PeriodKey,
    version: u32,
    at: i64,
    state_of: impl Fn(&str) -> Option<RewardState>,
) -> Vec<RewardScreen> {
    let milestones = task.version(version).map_or(&[][..], |v| &v.definition.milestones);
    let lines = milestones.iter().find(|m| m.at == at).map_or(&[][..], |m| &m.rewards);
    let grant = |line: &RewardLine| {
        let grant = grant_id(user, &task.id, period, at, &line.line);
        state_of(&line.line).map(|state| GrantScreen { grant, state, claim_until: None })
    };
    lines.iter().map(|line| shown(line, grant(line))).collect()
}

fn shown(line: &RewardLine, granted: Option<GrantScreen>) -> RewardScreen {
    RewardScreen {
        granted,
        line: line.line.clone(),
        kind: line.kind.clone(),
        code: line.code.clone(),
        amount: line.amount,
    }
}
