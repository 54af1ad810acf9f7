//! The rate limit of an endpoint: evenly spaced slots, of which each message takes one.

use std::time::{Duration, Instant};

/// Time for which a slot that no message took stays free. A sender also stores answers and reads
/// ahead, which takes tens of milliseconds; messages that it could not begin meanwhile begin
/// together afterwards.
const KEPT_FOR: Duration = Duration::from_millis(100);

/// The slots of one process. In any span of time it begins no more messages than the rate allows in
/// that span and [`KEPT_FOR`], and one.
#[derive(Debug)]
pub struct Slots {
    /// Time of the first free slot.
    next: Instant,
}

impl Slots {
    pub fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// Time from which on the next message may begin.
    pub fn open_at(&self) -> Instant {
        self.next
    }

    /// Returns true if a message may begin now.
    pub fn are_open(&self, now: Instant) -> bool {
        self.next <= now
    }

    /// Takes a slot. `interval` is the time between two slots; `None` is no limit.
    pub fn take(&mut self, interval: Option<Duration>, now: Instant) {
        let Some(interval) = interval else { return };
        let oldest = now.checked_sub(KEPT_FOR).unwrap_or(now);
        self.next = self.next.max(oldest) + interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of messages begun within ten seconds by a sender that looks once in each `turn`
    /// and begins at most eight messages then.
    fn begun(per_second: u32, turn: Duration) -> u32 {
        let (start, interval) = (Instant::now(), Duration::from_secs(1) / per_second);
        let (mut slots, mut now, mut begun) = (Slots::new(start), start, 0);
        while now < start + Duration::from_secs(10) {
            let free = (0..8).take_while(|_| {
                let is_open = slots.are_open(now);
                if is_open {
                    slots.take(Some(interval), now);
                }
                is_open
            });
            begun += u32::try_from(free.count()).expect("few");
            now += turn;
        }
        begun
    }

    #[test]
    fn a_rate_is_reached_and_not_exceeded_however_long_a_turn_takes() {
        for turn in [1, 7, 30, 90] {
            let turn = Duration::from_millis(turn);
            let begun = begun(50, turn);
            assert!((495..=506).contains(&begun), "{begun} within turns of {turn:?}");
        }
    }

    #[test]
    fn a_sender_that_had_nothing_to_send_begins_no_more_than_a_tenth_of_a_second_holds() {
        let start = Instant::now();
        let mut slots = Slots::new(start);
        let later = start + Duration::from_secs(60);
        for _ in 0..6 {
            assert!(slots.are_open(later));
            slots.take(Some(Duration::from_millis(20)), later);
        }
        assert!(!slots.are_open(later));
        assert_eq!(slots.open_at(), later + Duration::from_millis(20));
    }

    #[test]
    fn without_a_limit_everything_may_begin() {
        let start = Instant::now();
        let mut slots = Slots::new(start);
        slots.take(None, start);
        assert!(slots.are_open(start));
    }
}
