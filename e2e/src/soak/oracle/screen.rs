//! The expected task screen at a given moment.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::grant_id;
use super::timeline::Period;
use super::user::{TaskBook, Turn, UserBook};
use crate::soak::action::user_name;
use crate::soak::tasks::{Kind, Milestone};

/// The grants that were claimed.
pub type Claimed = HashSet<Uuid>;

/// Returns the tasks of a screen. The states `claimed`, `delivering` and `delivered` of a reward
/// are all called `taken`, since the progress of a payment depends on the moment.
pub fn expected_screen(
    user: u32,
    book: &UserBook,
    claimed: &Claimed,
    moment: Timestamp,
) -> Vec<Value> {
    let page = Page { user: user_name(user), book, claimed, moment };
    book.tasks.iter().map(|task| page.task(task)).collect()
}

struct Page<'a> {
    user: String,
    book: &'a UserBook,
    claimed: &'a Claimed,
    moment: Timestamp,
}

impl Page<'_> {
    fn task(&self, book: &TaskBook) -> Value {
        let (key, period) = book.period_at(self.moment);
        let locked_by = self.locked_by(book);
        let streak = StreakNow::of(book, self.moment);
        let empty = Turn::default();
        let turn = book.turns.get(&key).unwrap_or(&empty);
        let progress = streak.as_ref().map_or(turn.progress, |streak| streak.step);
        let milestones: Vec<Value> = match &streak {
            Some(streak) => self.streak_milestones(book, streak),
            None => {
                let shown = |m| self.milestone(book, m, &key, turn.reached.get(&m.at));
                book.task.milestones.iter().map(shown).collect()
            }
        };
        let earlier = self.unclaimed_earlier(book, &key, streak.as_ref());
        let claimable = !earlier.is_empty() || milestones.iter().any(is_claimable);
        let done = milestones.last().is_some_and(|last| !last["reached_at"].is_null());
        let state = match () {
            () if !locked_by.is_empty() => "locked",
            () if claimable => "claimable",
            () if done => "claimed",
            () if progress > 0 => "in_progress",
            () => "available",
        };
        let mut shown = json!({
            "id": book.task.id,
            "kind": book.task.kind_name(),
            "order": book.task.order,
            "state": state,
            "locked_by": locked_by,
            "period": period_json(&key, period),
            "progress": progress,
            "target": book.task.target(),
            "milestones": milestones,
            "unclaimed_from_earlier_periods": earlier,
        });
        if let Some(streak) = streak {
            let (current, longest) = (streak.current, book.streak.longest);
            shown["streak"] =
                json!({ "current": current, "longest": longest, "at_risk": streak.at_risk });
        }
        shown
    }

    fn locked_by(&self, book: &TaskBook) -> Vec<&'static str> {
        let missing = |id: &&str| self.book.tasks.iter().any(|b| b.task.id == *id && !b.completed);
        book.task.requires.into_iter().filter(missing).collect()
    }

    /// Returns the milestones of the running cycle only.
    fn streak_milestones(&self, book: &TaskBook, streak: &StreakNow) -> Vec<Value> {
        let shown = |milestone: &Milestone| {
            let key = book.streak.cycle.get(&milestone.at).filter(|_| streak.step >= milestone.at);
            let turn = key.and_then(|key| book.turns.get(key));
            let reached_at = turn.and_then(|turn| turn.reached.get(&milestone.at));
            self.milestone(book, milestone, key.map_or("", String::as_str), reached_at)
        };
        book.task.milestones.iter().map(shown).collect()
    }

    fn milestone(
        &self,
        book: &TaskBook,
        milestone: &Milestone,
        key: &str,
        reached_at: Option<&Timestamp>,
    ) -> Value {
        let mut rewards: Vec<Value> = milestone
            .rewards
            .iter()
            .map(|reward| {
                let mut shown = json!({
                    "line": reward.line, "kind": reward.kind, "code": reward.code,
                    "amount": reward.amount,
                });
                if reached_at.is_some() {
                    let (user, task) = (self.user.as_str(), book.task.id);
                    let grant = grant_id(user, task, key, milestone.at, reward.line);
                    let taken = book.task.automatic || self.claimed.contains(&grant);
                    shown["grant"] = json!(grant);
                    shown["state"] = json!(if taken { "taken" } else { "claimable" });
                }
                shown
            })
            .collect();
        rewards.sort_by_key(|reward| reward["line"].to_string());
        json!({
            "at": milestone.at,
            "reached_at": reached_at.map(ToString::to_string),
            "rewards": rewards,
        })
    }

    /// Returns the claimable milestones that the list of milestones does not show, oldest first.
    fn unclaimed_earlier(
        &self,
        book: &TaskBook,
        key_now: &str,
        streak: Option<&StreakNow>,
    ) -> Vec<Value> {
        let mut unclaimed: Vec<(Timestamp, i64, Value)> = Vec::new();
        for (key, turn) in &book.turns {
            for (at, reached_at) in &turn.reached {
                let above = match streak {
                    None => key == key_now,
                    Some(now) => now.step >= *at && book.streak.cycle.get(at) == Some(key),
                };
                let Some(milestone) = book.task.milestone(*at).filter(|_| !above) else { continue };
                let mut entry = self.milestone(book, milestone, key, Some(reached_at));
                if is_claimable(&entry) {
                    entry["period"] = period_json(key, turn.period);
                    let start = turn.period.map_or(Timestamp::MIN, |period| period.start);
                    unclaimed.push((start, *at, entry));
                }
            }
        }
        unclaimed.sort_by_key(|(start, at, _)| (*start, *at));
        unclaimed.into_iter().map(|(_, _, entry)| entry).collect()
    }
}

/// A streak at a given moment. It may have broken since its last step.
struct StreakNow {
    current: i64,
    step: i64,
    at_risk: bool,
}

impl StreakNow {
    fn of(book: &TaskBook, moment: Timestamp) -> Option<Self> {
        let Kind::Streak { cycle, .. } = book.task.kind else { return None };
        let now = book.timeline.as_ref()?.period_at(moment);
        let last_end = book.streak.last.map(|last| last.end);
        let stepped_now = last_end.is_some_and(|end| end >= now.end);
        let alive = last_end.is_some_and(|end| end >= now.start);
        let current = if alive { book.streak.current } else { 0 };
        let step = if current == 0 { 0 } else { (current - 1) % cycle + 1 };
        Some(Self { current, step, at_risk: current > 0 && !stepped_now })
    }
}

fn is_claimable(milestone: &Value) -> bool {
    let rewards = milestone["rewards"].as_array();
    rewards.is_some_and(|rewards| rewards.iter().any(|reward| reward["state"] == "claimable"))
}

fn period_json(key: &str, period: Option<Period>) -> Value {
    json!({
        "key": key,
        "starts_at": period.map(|period| period.start.to_string()),
        "ends_at": period.map(|period| period.end.to_string()),
    })
}
