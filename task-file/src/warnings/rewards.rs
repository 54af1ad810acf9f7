//! Rewards that the version in force promises and the next one does not, or not as easily.

use plaudit_domain::catalogue::definition::{
    Milestone, Payout, RewardLine, Rewards, TaskDefinition,
};

use super::Warning;

/// Compares a task with its version in force. Users in the middle of a period see rewards disappear.
pub fn lowered(task: &TaskDefinition, in_force: &TaskDefinition, warnings: &mut Vec<Warning>) {
    for before in in_force.milestones.iter().filter(|before| !before.rewards.is_empty()) {
        let now = same_at(task, before.at).or_else(|| moved(task, in_force, before));
        let Some((index, now)) = now else {
            let message = format!("the milestone at {} and its rewards are gone", before.at);
            warnings.push(("milestones".to_owned(), message));
            continue;
        };
        if now.at > before.at {
            warnings.push((format!("milestones[{index}].at"), raised(before.at)));
        }
        lowered_lines(index, before, now, warnings);
    }
    let has_rewards = task.milestones.iter().any(|milestone| !milestone.rewards.is_empty());
    // In a streak, the target is the amount that each period needs.
    if task.streak.is_some() && has_rewards && task.objective.target > in_force.objective.target {
        warnings.push(("objective.target".to_owned(), raised(in_force.objective.target)));
    }
}

fn raised(before: i64) -> String {
    format!("is higher than the {before} of the version in force: its rewards are harder to reach")
}

fn same_at(task: &TaskDefinition, at: i64) -> Option<(usize, &Milestone)> {
    task.milestones.iter().enumerate().find(|(_, now)| now.at == at)
}

/// The new milestone that has all reward lines of one that is gone.
fn moved<'t>(
    task: &'t TaskDefinition,
    in_force: &TaskDefinition,
    before: &Milestone,
) -> Option<(usize, &'t Milestone)> {
    let is_new = |now: &Milestone| in_force.milestones.iter().all(|known| known.at != now.at);
    let has = |now: &Milestone, line: &str| now.rewards.iter().any(|other| other.line == line);
    let has_all = |now: &Milestone| before.rewards.iter().all(|line| has(now, &line.line));
    task.milestones.iter().enumerate().find(|(_, now)| is_new(now) && has_all(now))
}

fn lowered_lines(index: usize, before: &Milestone, now: &Milestone, warnings: &mut Vec<Warning>) {
    for line in &before.rewards {
        let found = now.rewards.iter().enumerate().find(|(_, other)| other.line == line.line);
        let Some((number, other)) = found else {
            let message = format!("the reward line {:?} at {} is gone", line.line, before.at);
            warnings.push((format!("milestones[{index}].rewards"), message));
            continue;
        };
        let field = if other.fixed().is_some() { "amount" } else { "one_of" };
        let path = format!("milestones[{index}].rewards[{number}].{field}");
        warnings.extend(lowered_line(line, other).into_iter().map(|why| (path.clone(), why)));
    }
}

/// The payouts of a line of one kind and code, as a whole.
#[derive(Clone, Copy)]
struct Offer<'l> {
    payout: &'l Payout,
    most: i64,
    /// The sum of the amounts, each times its weight.
    weighted: i128,
    /// The sum of all weights of the line.
    weights: i128,
}

impl Offer<'_> {
    /// The mean in thousandths, rounded down. An amount below 2^63, a weight up to 10^9 and the
    /// factor 10^3 fit in 128 bits, also for a hundred choices.
    fn mean_thousandths(&self) -> i128 {
        self.weighted * 1_000 / self.weights
    }

    fn is_of(&self, payout: &Payout) -> bool {
        self.payout.kind == payout.kind && self.payout.code == payout.code
    }
}

fn offers(line: &RewardLine) -> Vec<Offer<'_>> {
    let choices: Vec<(i64, &Payout)> = match &line.pays {
        Rewards::Fixed(payout) => vec![(1, payout)],
        Rewards::OneOf(choices) => choices.iter().map(|of| (of.weight, &of.payout)).collect(),
    };
    let weights = choices.iter().map(|(weight, _)| i128::from(*weight)).sum::<i128>().max(1);
    let mut offers: Vec<Offer<'_>> = Vec::new();
    for (weight, payout) in choices {
        let weighted = i128::from(weight) * i128::from(payout.amount);
        match offers.iter_mut().find(|offer| offer.is_of(payout)) {
            Some(offer) => {
                offer.most = offer.most.max(payout.amount);
                offer.weighted += weighted;
            }
            None => offers.push(Offer { payout, most: payout.amount, weighted, weights }),
        }
    }
    offers
}

/// Says how a line pays less than it did. A line that pays something else altogether can't be
/// compared.
fn lowered_line(before: &RewardLine, now: &RewardLine) -> Vec<String> {
    if let (Some(was), Some(is)) = (before.fixed(), now.fixed()) {
        let is_lower = was.kind == is.kind && was.code == is.code && is.amount < was.amount;
        let lower = || format!("is lower than the {} of the version in force", was.amount);
        return is_lower.then(lower).into_iter().collect();
    }
    let (was, is) = (offers(before), offers(now));
    let now_of = |offer: &Offer<'_>| is.iter().find(|now| now.is_of(offer.payout));
    if was.iter().all(|offer| now_of(offer).is_none()) {
        return Vec::new();
    }
    was.iter().filter_map(|offer| lowered_offer(offer, now_of(offer))).collect()
}

fn lowered_offer(was: &Offer<'_>, is: Option<&Offer<'_>>) -> Option<String> {
    let Payout { kind, code, .. } = was.payout;
    let Some(is) = is else { return Some(format!("no longer gives {kind} {code}")) };
    if is.most < was.most {
        let (is, was) = (is.most, was.most);
        return Some(format!(
            "gives at most {is} of {kind} {code}, less than the {was} of the version in force"
        ));
    }
    let (is, was) = (is.mean_thousandths(), was.mean_thousandths());
    (is < was).then(|| {
        let (is, was) = (decimal(is), decimal(was));
        format!(
            "gives {is} of {kind} {code} on average, less than the {was} of the version in force"
        )
    })
}

/// Writes thousandths as a decimal number without trailing zeros.
fn decimal(thousandths: i128) -> String {
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
