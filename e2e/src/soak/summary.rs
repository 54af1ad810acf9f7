//! The report at the end of a soak.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::books::Compared;
use super::chaos::Damage;
use super::clients::Hands;
use super::findings::Findings;
use super::oracle::Met;
use super::traffic::Counts;

/// The result of a soak: its numbers and plaudit's faults.
#[derive(Debug)]
pub struct Verdict {
    pub(super) summary: Summary,
    pub(super) findings: Arc<Findings>,
    /// The actions of users whose books differ.
    pub(super) histories: String,
}

/// The numbers of a soak.
#[derive(Debug)]
pub(super) struct Summary {
    pub seed: u64,
    /// The program under test.
    pub program: String,
    pub records: usize,
    pub counts: Counts,
    pub met: Met,
    pub damage: Damage,
    /// The number of faults of payers, by kind.
    pub payers: Vec<(&'static str, u64)>,
    pub drained: Duration,
    /// Time from the start to the end of each phase.
    pub phases: Vec<(&'static str, Duration)>,
    pub compared: Compared,
    pub hands: Hands,
}

impl Verdict {
    /// Returns true if plaudit did nothing wrong.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    /// Returns the events that a soak is there to observe, but that never happened.
    pub fn missing(&self) -> Vec<String> {
        let mut missing = self.summary.damage.missing();
        let Counts { duplicates: again, imposters, garbage } = self.summary.counts;
        let Met { duplicates, too_late, locked, held, zones, broken, cycles } = self.summary.met;
        let claims = self.summary.hands.claims.len() as u64;
        for (what, count) in [
            ("duplicates", again),
            ("imposters", imposters),
            ("garbage", garbage),
            ("identities again", duplicates),
            ("actions too late", too_late),
            ("actions locked out", locked),
            ("milestones held by a lock", held),
            ("changes of zone", zones),
            ("broken streaks", broken),
            ("full cycles of a streak", cycles),
            ("claims", claims),
            ("grants that follow one another", self.summary.compared.in_order as u64),
        ] {
            if count == 0 {
                missing.push(what.to_owned());
            }
        }
        let unmet = self.summary.payers.iter().filter(|(_, count)| *count == 0);
        missing.extend(unmet.map(|(what, _)| (*what).to_owned()));
        missing
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary {
            seed,
            program,
            records,
            counts,
            met,
            damage,
            payers,
            drained,
            phases,
            compared,
            hands,
        } = &self.summary;
        writeln!(f, "soak with seed {seed} of {program}")?;
        let Counts { duplicates, imposters, garbage } = counts;
        writeln!(
            f,
            "  {records} records: {duplicates} duplicates, {imposters} under a taken identity, \
             {garbage} garbage"
        )?;
        let Met { duplicates, too_late, locked, held, zones, broken, cycles } = met;
        writeln!(
            f,
            "  met: {duplicates} identities again, {too_late} too late, {locked} locked out, {held} \
             held by a lock, {zones} changes of zone, {broken} streaks broken, {cycles} cycles full"
        )?;
        let (reads, failures) = (hands.reads, hands.failures);
        let (claims, refused) = (hands.claims.len(), hands.refused);
        writeln!(
            f,
            "  {reads} screens read ({failures} failed while something was down), {claims} \
             receipts, {refused} claims of nothing"
        )?;
        for (name, count) in &damage.counts {
            write!(f, "  {count} × {name}")?;
            if let Some(seconds) = damage.until_applied.get(name) {
                let (median, max) = median_and_max(seconds);
                write!(f, ": first record applied after {median:.1} s (median), {max:.1} s (max)")?;
            }
            writeln!(f)?;
        }
        let (median, max) = median_and_max(&damage.takeovers);
        writeln!(
            f,
            "  {} × taken over by the other one: after {median:.1} s (median), {max:.1} s (max)",
            damage.takeovers.len()
        )?;
        for (what, count) in payers {
            writeln!(f, "  {count} × {what}")?;
        }
        writeln!(f, "  drained in {:.1} s", drained.as_secs_f64())?;
        let phases = phases.iter().map(|(name, at)| format!("{name} {:.0} s", at.as_secs_f64()));
        writeln!(f, "  {}", phases.collect::<Vec<_>>().join(", "))?;
        let Compared { users, grants, in_order, by_webhook, by_topic, parked } = compared;
        writeln!(
            f,
            "  compared: {users} users, {grants} grants on the topic ({in_order} by their order), \
             {by_webhook} paid by webhook, {by_topic} by the topic, {parked} records parked"
        )?;
        if self.is_good() {
            writeln!(f, "soak: the books balance")
        } else {
            writeln!(f, "soak: DIFFERENT\n{}", self.findings)
        }
    }
}

fn median_and_max(seconds: &[f64]) -> (f64, f64) {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    (median, sorted.last().copied().unwrap_or_default())
}
