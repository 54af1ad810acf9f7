//! Processor time by part: what does not depend on what else the machine does.

use std::collections::BTreeMap;
use std::time::Duration;

use super::place::Place;

/// Clock ticks of `/proc` a second: `USER_HZ`, which Linux fixes at 100.
const TICKS: u32 = 100;

/// Processor time since some start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cpu {
    /// PostgreSQL, all its processes.
    pub postgres: Duration,
    /// The broker.
    pub kafka: Duration,
    /// The program.
    pub program: Duration,
}

impl Cpu {
    /// The processor time of the parts up to now.
    pub fn read(place: &Place, program: Option<u32>) -> Self {
        let of = |pid: Option<u32>| pid.map_or(Duration::ZERO, with_children);
        Self {
            postgres: of(place.postgres.pid()),
            kafka: of(place.kafka.pid()),
            program: of(program),
        }
    }

    /// The processor time since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            postgres: self.postgres.saturating_sub(earlier.postgres),
            kafka: self.kafka.saturating_sub(earlier.kafka),
            program: self.program.saturating_sub(earlier.program),
        }
    }

    /// All parts together, in microseconds for each of `count`.
    pub fn per(&self, count: u64) -> f64 {
        micros(self.postgres + self.kafka + self.program, count)
    }

    /// Prints the share of each part, for each of `count` actions.
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

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn micros(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count.max(1) as f64
}

/// The time of a process, of its children, and of those that have ended. Zero where there is no `/proc`.
fn with_children(pid: u32) -> Duration {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let mut ticks = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name of the program, in parentheses, may hold anything.
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let number = |place: usize| -> u32 {
            fields.split_whitespace().nth(place).and_then(|f| f.parse().ok()).unwrap_or(0)
        };
        children.entry(number(1)).or_default().push(pid);
        // User and system time, and the same of children that were waited for.
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
