//! Processor time by part, a figure that does not depend on other load on the machine.

use std::collections::BTreeMap;
use std::time::Duration;

use super::place::Place;

/// Clock ticks of `/proc` per second: `USER_HZ`, which Linux fixes at 100.
const TICKS: u32 = 100;

/// Processor time used by each part.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// All processes of PostgreSQL.
    pub postgres: Duration,
    /// The Kafka broker.
    pub kafka: Duration,
    /// The program under test.
    pub program: Duration,
}

impl Cpu {
    /// Reads the processor time that the parts have used so far.
    pub fn read(place: &Place, program: Option<u32>) -> Self {
        let of = |pid: Option<u32>| pid.map_or(Duration::ZERO, with_children);
        Self {
            postgres: of(place.postgres.pid()),
            kafka: of(place.kafka.pid()),
            program: of(program),
        }
    }

    /// Returns the processor time used since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            postgres: self.postgres.saturating_sub(earlier.postgres),
            kafka: self.kafka.saturating_sub(earlier.kafka),
            program: self.program.saturating_sub(earlier.program),
        }
    }

    /// Returns the microseconds of all parts together for each of `count` actions.
    pub fn per(&self, count: u64) -> f64 {
        micros(self.postgres + self.kafka + self.program, count)
    }

    /// Prints the time of each part for each of `count` actions.
    pub fn print(&self, count: u64) {
        println!(
            "    CPU for each action                           {:>8.1} µs: PostgreSQL {:.1}, program {:.1}, broker {:.1}",
            self.per(count),
            micros(self.postgres, count),
            micros(self.program, count),
            micros(self.kafka, count),
        );
    }
}

/// Returns the microseconds of a time for each of `count` actions.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub fn micros(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// Returns the processor time of a process and its descendants, including those that have ended.
/// Zero without `/proc`.
fn with_children(pid: u32) -> Duration {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut ticks = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The program's name, in parentheses, may contain spaces and parentheses itself.
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let number = |place: usize| -> u32 {
            fields.split_whitespace().nth(place).and_then(|f| f.parse().ok()).unwrap_or(0)
        };
        children.entry(number(1)).or_default().push(pid);
        // User and system time, of the process and of the children that it has waited for.
        ticks.insert(pid, (11..=14).map(number).sum::<u32>());
    }
    let (mut sum, mut open) = (0, vec![pid]);
    while let Some(pid) = open.pop() {
        sum += ticks.get(&pid).copied().unwrap_or(0);
        open.extend(children.remove(&pid).into_iter().flatten());
    }
    Duration::from_secs(u64::from(sum)) / TICKS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_computes_uses_time() {
        let own = std::process::id();
        let before = with_children(own);
        let mut number = 1_u64;
        while with_children(own) == before {
            for _ in 0..1_000_000 {
                number = std::hint::black_box(number.wrapping_mul(3));
            }
        }
        assert!(with_children(own) > before);
    }
}
