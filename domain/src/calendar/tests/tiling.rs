//! Rules 1 and 2 in general: whatever the zone and however it changes, periods tile time, and no
//! name is given twice.

use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Zones with something odd about them: wide offsets, half hours, gaps and overlaps at midnight,
/// days left out.
const ZONES: [&str; 14] = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Havana",
    "America/Sao_Paulo",
    "America/Asuncion",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Antarctica/Troll",
];

fn zone_names() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&ZONES[..])
}

fn calendars() -> impl Strategy<Value = Calendar> {
    let cadences = proptest::sample::select(&[Cadence::Day, Cadence::Week, Cadence::Month][..]);
    let starts = proptest::sample::select(&["00:00", "00:30", "02:30", "05:00", "23:59"][..]);
    (cadences, starts).prop_map(|(cadence, day_start)| calendar(cadence, day_start))
}

/// From 1990 to 2040, to the second; half of them where clocks change.
fn instants() -> impl Strategy<Value = Timestamp> {
    let any = (631_152_000..2_208_988_800_i64).prop_map(|s| Timestamp::from_second(s).unwrap());
    let near_change =
        (any.clone(), zone_names(), -90_000..90_000_i64).prop_map(|(at, name, away)| {
            let change = zone(name).unwrap().following(at).next().map_or(at, |t| t.timestamp());
            change + SignedDuration::from_secs(away)
        });
    prop_oneof![any, near_change]
}

/// What must hold of the period at `at` and its neighbours.
fn check_tiling(
    at: Timestamp,
    period_at: impl Fn(Timestamp) -> Period,
) -> Result<(), TestCaseError> {
    let period = period_at(at);
    prop_assert!(period.contains(at), "{:?} {}", period, at);
    let (start, end) = (period.starts_at.unwrap(), period.ends_at.unwrap());
    prop_assert_eq!(&period_at(start), &period);
    prop_assert_eq!(&period_at(end - SignedDuration::from_micros(1)), &period);
    let next = period_at(end);
    prop_assert_eq!(next.starts_at, Some(end), "{:?} {:?}", period, next);
    prop_assert!(next.key > period.key, "{:?} {:?}", period, next);
    Ok(())
}

proptest! {
    #[test]
    fn rule_01_periods_tile_time_and_their_names_rise(
        calendar in calendars(), name in zone_names(), at in instants(),
    ) {
        let tz = zone(name).unwrap();
        check_tiling(at, |at| calendar.period_at(at, &tz))?;
        let period = calendar.period_at(at, &tz);
        prop_assert_eq!(calendar.period_named(&period.key, &tz), Some(period));
    }

    #[test]
    fn rule_02_periods_tile_time_across_changes_of_zone(
        calendar in calendars(),
        first in proptest::option::of(zone_names()),
        from in instants(),
        changes in vec((0..200_000_i64, zone_names()), 0..7),
        probes in vec(-400_000..1_600_000_i64, 1..12),
    ) {
        let mut zones = Zones::default();
        if let Some(name) = first {
            zones.settle(name.to_owned());
        }
        let mut at = from;
        for (later, name) in changes {
            at += SignedDuration::from_secs(later);
            let open = zones.period_at(calendar, at);
            zones.change(at, name.to_owned());
            prop_assert_eq!(zones.period_at(calendar, at), open, "the open period stays");
        }
        for probe in probes {
            let at = from + SignedDuration::from_secs(probe);
            check_tiling(at, |at| zones.period_at(calendar, at))?;
            let period = zones.period_at(calendar, at);
            prop_assert_eq!(zones.period_named(calendar, &period.key), Some(period));
        }
    }

    #[test]
    fn rule_02_however_often_a_zone_changes_periods_tile_time(
        calendar in calendars(),
        from in instants(),
        changes in vec((0..400_000_i64, zone_names()), 0..40),
    ) {
        let mut zones = Zones::default();
        let mut at = from;
        for (later, name) in changes {
            at += SignedDuration::from_secs(later);
            zones.change(at, name.to_owned());
            check_tiling(at, |at| zones.period_at(calendar, at))?;
        }
        let json = serde_json::to_string(&zones).unwrap();
        prop_assert!(json.len() < 4_000);
        prop_assert_eq!(serde_json::from_str::<Zones>(&json).unwrap(), zones);
    }
}
