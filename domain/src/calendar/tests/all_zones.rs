//! Rule 1 in every zone of the database, at every change of clocks of some years.

use jiff::SignedDuration;
use proptest::test_runner::TestCaseError;

use super::tiling::check_tiling;
use super::*;

/// Year ends, leap days, and days near them.
const TURNS: [&str; 6] = [
    "2023-12-31T23:59:59Z",
    "2024-02-29T12:00:00Z",
    "2024-12-30T00:00:00Z",
    "2026-12-31T12:00:00Z",
    "2027-01-01T00:00:00Z",
    "2100-02-28T23:00:00Z",
];

#[test]
fn rule_01_periods_tile_time_in_every_zone_where_clocks_change() -> Result<(), TestCaseError> {
    let cron = |text: &str| Calendar {
        cadence: Cadence::Cron(text.parse().unwrap()),
        day_start: DayStart::default(),
    };
    let calendars = [
        days(),
        calendar(Cadence::Day, "02:30"),
        calendar(Cadence::Week, "23:59"),
        calendar(Cadence::Month, "00:00"),
        cron("30 2 * * *"),
        cron("0 0 1 * MON"),
        cron("*/20 * * * *"),
    ];
    for name in zone_names() {
        let zone = zone(&name).unwrap();
        let changes = zone.following(instant("2023-01-01T00:00:00Z")).map(|t| t.timestamp());
        let changes = changes.take_while(|at| *at < instant("2027-01-01T00:00:00Z"));
        let around = |at: Timestamp| {
            [-5_400, -1, 0, 1, 5_400].map(|away| at + SignedDuration::from_secs(away))
        };
        let turns = TURNS.iter().map(|turn| instant(turn));
        for at in changes.chain(turns).flat_map(around) {
            for calendar in calendars {
                check_tiling(at, |at| calendar.period_at(at, &zone))?;
            }
        }
    }
    Ok(())
}
