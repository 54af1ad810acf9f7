//! Rules 1 and 2 in general: whatever the zone and however it changes, periods tile time, and no
//! name is given twice.

use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Zones with something odd about them: wide offsets, half hours, gaps and overlaps at midnight,
/// days left out.
const ODD_ZONES: [&str; 14] = [
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

/// Any zone of the database, and the odd ones often.
pub(in crate::calendar) fn some_zone() -> impl Strategy<Value = String> {
    let all: Vec<String> = zone_names().collect();
    let odd = proptest::sample::select(&ODD_ZONES[..]).prop_map(str::to_owned);
    prop_oneof![odd, proptest::sample::select(all)]
}

fn dates() -> impl Strategy<Value = Calendar> {
    let cadences = proptest::sample::select(&[Cadence::Day, Cadence::Week, Cadence::Month][..]);
    let starts = proptest::sample::select(&["00:00", "00:30", "02:30", "05:00", "23:59"][..]);
    (cadences, starts).prop_map(|(cadence, day_start)| calendar(cadence, day_start))
}

/// Schedules with at least one random field.
fn schedules() -> impl Strategy<Value = Calendar> {
    let text = prop_oneof![
        (0..60, 0..24).prop_map(|(minute, hour)| format!("{minute} {hour} * * *")),
        (0..24, 0..8).prop_map(|(hour, day)| format!("30 {hour} * * {day}")),
        (1..32, 0..8).prop_map(|(of_month, of_week)| format!("0 5 {of_month} * {of_week}")),
        (1..29, 1..13).prop_map(|(day, month)| format!("15 2 {day} {month} *")),
        (1..30, 1..24).prop_map(|(minutes, hours)| format!("*/{minutes} */{hours} * * *")),
        Just("* * * * *".to_owned()),
        Just("0 0 29 2 *".to_owned()),
    ];
    text.prop_map(|text| Calendar {
        cadence: Cadence::Cron(text.parse().unwrap()),
        day_start: DayStart::default(),
    })
}

pub(in crate::calendar) fn calendars() -> impl Strategy<Value = Calendar> {
    prop_oneof![dates(), schedules()]
}

/// From 1990 to 2040, to the second; half of the instants are close to a change of clocks.
pub(in crate::calendar) fn instants() -> impl Strategy<Value = Timestamp> {
    let any = (631_152_000..2_208_988_800_i64).prop_map(|s| Timestamp::from_second(s).unwrap());
    let near_change =
        (any.clone(), some_zone(), -90_000..90_000_i64).prop_map(|(at, name, away)| {
            let change = zone(&name).unwrap().following(at).next().map_or(at, |t| t.timestamp());
            change + SignedDuration::from_secs(away)
        });
    prop_oneof![any, near_change]
}

/// Seconds until a user changes zone again: up to two days, up to a month, or up to a year and
/// more.
pub(in crate::calendar) fn later() -> impl Strategy<Value = i64> {
    prop_oneof![0..200_000_i64, 0..3_000_000_i64, 0..40_000_000_i64]
}

/// Checks the period at `at` against its neighbours.
pub(super) fn check_tiling(
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
    fn rule_01_periods_tile_time_and_their_keys_rise(
        calendar in calendars(), name in some_zone(), at in instants(),
    ) {
        let tz = zone(&name).unwrap();
        check_tiling(at, |at| calendar.period_at(at, &tz))?;
        let period = calendar.period_at(at, &tz);
        prop_assert_eq!(calendar.period_named(&period.key, &tz), Some(period));
    }

    #[test]
    fn rule_02_periods_tile_time_across_changes_of_zone(
        calendar in calendars(),
        first in proptest::option::of(some_zone()),
        from in instants(),
        changes in vec((later(), some_zone()), 0..7),
        probes in vec(-400_000..1_600_000_i64, 1..12),
    ) {
        let mut zones = first.map_or_else(Zones::default, Zones::always);
        let mut at = from;
        for (later, name) in changes {
            at += SignedDuration::from_secs(later);
            let open = zones.period_at(calendar, at);
            zones.change(at, name);
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
        changes in vec((0..400_000_i64, some_zone()), 0..40),
    ) {
        let mut zones = Zones::default();
        let mut at = from;
        for (later, name) in changes {
            at += SignedDuration::from_secs(later);
            zones.change(at, name);
            check_tiling(at, |at| zones.period_at(calendar, at))?;
        }
        let json = serde_json::to_string(&zones).unwrap();
        prop_assert!(json.len() < 4_000);
        prop_assert_eq!(serde_json::from_str::<Zones>(&json).unwrap(), zones);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn rule_02_the_open_period_stays_even_beyond_the_changes_that_are_remembered(
        calendar in calendars(),
        from in instants(),
        hours_apart in prop_oneof![0..40_i64, 0..1_200_i64],
        names in vec(some_zone(), 80..110),
        later_by in vec(0..100_i64, 110),
    ) {
        let mut zones = Zones::default();
        let mut at = from;
        for (index, (name, percent)) in names.into_iter().zip(later_by).enumerate() {
            at += SignedDuration::from_mins(hours_apart * percent * 60 / 50);
            if zones.check_change(at, &name).is_err() {
                continue;
            }
            // The first of them are checked by the tests above.
            if index < 60 {
                zones.change(at, name);
                continue;
            }
            let open = zones.period_at(calendar, at);
            zones.change(at, name);
            prop_assert_eq!(zones.period_at(calendar, at), open, "the open period stays");
        }
        prop_assert!(serde_json::to_string(&zones).unwrap().len() < 9_000);
    }
}

#[test]
fn rule_02_a_user_who_changes_zone_all_the_time_stays_in_one_until_a_while_has_passed() {
    let (day, start) = (SignedDuration::from_hours(24), instant("2026-01-01T00:00:00Z"));
    let name = |count: i32| if count % 2 == 0 { "Asia/Tokyo" } else { "America/New_York" };
    let mut zones = Zones::default();
    for count in 0..64 {
        let at = start + day * count;
        zones.check_change(at, name(count)).unwrap();
        zones.change(at, name(count).to_owned());
    }
    let last = start + day * 63;
    assert_eq!(zones.check_change(last + day * 24, name(64)), Err(TooManyChanges));
    assert_eq!(zones.check_change(last + day * 24, zones.current()), Ok(()));
    assert_eq!(zones.check_change(last + day * 25, name(64)), Ok(()));
}

#[test]
fn rule_02_a_leap_day_period_stays_open_over_changes_years_apart() {
    let calendar = Calendar {
        cadence: Cadence::Cron("0 0 29 2 *".parse().unwrap()),
        day_start: DayStart::default(),
    };
    let mut zones = Zones::always("Asia/Tokyo".to_owned());
    for (at, to) in [
        ("2024-06-01T00:00:00Z", "Europe/Paris"),
        ("2024-07-01T00:00:00Z", "America/New_York"),
        ("2027-12-01T00:00:00Z", "UTC"),
        ("2030-12-01T00:00:00Z", "Europe/Paris"),
    ] {
        let open = zones.period_at(calendar, instant(at));
        zones.change(instant(at), to.to_owned());
        assert_eq!(zones.period_at(calendar, instant(at)), open, "{at}");
    }
    // Of the changes before the leap day of 2028, only the last still matters.
    assert_eq!(serde_json::to_value(&zones).unwrap()["changes"].as_array().unwrap().len(), 2);
}
