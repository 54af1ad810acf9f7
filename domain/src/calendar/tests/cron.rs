//! Cron schedules: their meaning, refusals, and ticks where clocks change.

use super::*;

fn cron(text: &str) -> Calendar {
    Calendar {
        cadence: Cadence::Cron(text.parse().unwrap_or_else(|e| panic!("{e}"))),
        day_start: DayStart::default(),
    }
}

/// The period that begins at the first instant ends at the second, and is called by its start.
#[track_caller]
fn check_ticks(schedule: &str, zone_name: &str, ticks: &[&str]) {
    for pair in ticks.windows(2) {
        check(cron(schedule), zone_name, &period(pair[0], pair[0], pair[1]));
    }
}

#[test]
fn a_period_of_cron_lasts_from_tick_to_tick_and_is_called_by_its_start() {
    check_ticks("0 5 * * MON", "UTC", &["2026-03-23T05:00:00Z", "2026-03-30T05:00:00Z"]);
    // The hours of a zone, across the change of its clocks.
    check_ticks(
        "0 6 * * *",
        "Europe/Paris",
        &["2026-03-28T05:00:00Z", "2026-03-29T04:00:00Z", "2026-03-30T04:00:00Z"],
    );
    check_ticks(
        "0 0 1 */3 *",
        "Asia/Shanghai",
        &["2025-12-31T16:00:00Z", "2026-03-31T16:00:00Z", "2026-06-30T16:00:00Z"],
    );
    check_ticks("0 0 29 2 *", "UTC", &["2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z"]);
}

#[test]
fn a_restricted_day_of_month_and_a_restricted_weekday_are_joined_by_or() {
    // The 13th, and every Friday. March 2026 begins on a Sunday.
    let ticks = ["06", "13", "20", "27"].map(|day| format!("2026-03-{day}T00:00:00Z"));
    let mut ticks: Vec<&str> = ticks.iter().map(String::as_str).collect();
    ticks.extend(["2026-04-03T00:00:00Z", "2026-04-10T00:00:00Z", "2026-04-13T00:00:00Z"]);
    check_ticks("0 0 13 * FRI", "UTC", &ticks);
    check_ticks("0 0 13 * *", "UTC", &["2026-03-13T00:00:00Z", "2026-04-13T00:00:00Z"]);
    check_ticks("0 0 * * FRI", "UTC", &["2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z"]);
    // There is no 31 February, but there are Mondays.
    check_ticks("0 0 31 2 MON", "UTC", &["2026-02-23T00:00:00Z", "2027-02-01T00:00:00Z"]);
}

#[test]
fn zero_and_seven_are_sunday() {
    for sunday in ["0", "7", "SUN", "sun", "0,7"] {
        let schedule = format!("0 0 * * {sunday}");
        check_ticks(&schedule, "UTC", &["2026-03-22T00:00:00Z", "2026-03-29T00:00:00Z"]);
    }
    let weekend = ["2026-03-20", "2026-03-21", "2026-03-22", "2026-03-27"];
    let weekend = weekend.map(|day| format!("{day}T00:00:00Z"));
    for days in ["5-7", "FRI-SUN", "0,5,6", "SUN,FRI-SAT"] {
        let ticks: Vec<&str> = weekend.iter().map(String::as_str).collect();
        check_ticks(&format!("0 0 * * {days}"), "UTC", &ticks);
    }
}

#[test]
fn a_tick_in_a_gap_is_at_the_first_valid_instant() {
    // Clocks go from 02:00 to 03:00 at 01:00Z.
    check_ticks(
        "30 2 * * *",
        "Europe/Paris",
        &["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    );
    // The four ticks in the gap fall on the instant of the one right after it, and are one tick.
    check_ticks(
        "*/15 * * * *",
        "Europe/Paris",
        &["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"],
    );
    // A whole day was left out.
    check_ticks(
        "0 12 * * *",
        "Pacific/Apia",
        &["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"],
    );
}

#[test]
fn a_tick_in_an_overlap_is_at_the_first_occurrence() {
    // Clocks go from 03:00 back to 02:00 at 01:00Z.
    check_ticks(
        "30 2 * * *",
        "Europe/Paris",
        &["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    check_ticks(
        "*/15 * * * *",
        "Europe/Paris",
        &["2026-10-25T00:30:00Z", "2026-10-25T00:45:00Z", "2026-10-25T02:00:00Z"],
    );
}

#[test]
fn a_schedule_is_written_in_one_spelling() {
    for (written, spelling) in [
        ("0 5 * * 1", "0 5 * * MON"),
        ("*/15  0-5\t* * mon-FRI", "*/15 0-5 * * MON-FRI"),
        ("0,15,30,45 * 1,2,3 jan,7 0,7", "*/15 * 1-3 JAN,JUL SUN"),
        // A field that lists all of its values is `*`.
        ("*/1 0-23 * jan-dec *", "* * * * *"),
        ("0-29,30-59 */1 1 1-12 *", "* * 1 * *"),
        // So are both fields of days if either lists all of them: they are joined by *or*.
        ("0 0 1-31 * 0-6", "0 0 * * *"),
        ("0 0 */1 * MON", "0 0 * * *"),
        ("0 0 13 * 0-6", "0 0 * * *"),
        ("0 0 * * 1-7", "0 0 * * *"),
        ("0 0 * * MON", "0 0 * * MON"),
        ("0 0 13 * *", "0 0 13 * *"),
        ("1-59/20 */24 */40 1/1 *", ""),
        ("1-59/20 * */40 * *", "1,21,41 * 1 * *"),
    ] {
        let cron = written.parse::<Cron>();
        match spelling {
            "" => assert!(cron.is_err(), "{written}"),
            _ => assert_eq!(cron.unwrap().to_string(), spelling),
        }
    }
    assert_eq!(cron("*/1 5 * 1-12 *"), cron("* 5 * * *"));
    check_ticks("0 0 */1 * MON", "UTC", &["2026-03-24T00:00:00Z", "2026-03-25T00:00:00Z"]);
    let stored = serde_json::to_value(cron("0 5 * * 1").cadence).unwrap();
    assert_eq!(stored, serde_json::json!({ "cron": "0 5 * * MON" }));
    assert_eq!(serde_json::from_value::<Cadence>(stored).unwrap(), cron("0 5 * * MON").cadence);
}

#[test]
fn what_is_not_a_schedule_says_why() {
    for (bad, reason) in [
        ("", "0 fields"),
        ("0 5 * *", "4 fields"),
        ("0 0 5 * * MON", "6 fields"),
        ("@daily", "shorthands"),
        ("60 * * * *", "the minute is 0 to 59, got \"60\""),
        ("* 24 * * *", "the hour is 0 to 23"),
        ("* * 0 * *", "the day of month is 1 to 31"),
        ("* * * 13 *", "the month is 1 to 12 or JAN to DEC"),
        ("* * * * 8", "the day of week is 0 to 7 or SUN to SAT"),
        ("* * * * MO", "got \"MO\""),
        ("* * * * MON#1", "got \"MON#1\""),
        ("* * L * *", "got \"L\""),
        ("? * * * *", "got \"?\""),
        ("+5 * * * *", "got \"+5\""),
        ("5/15 * * * *", "5-59/"),
        ("*/0 * * * *", "at least 1"),
        ("*/x * * * *", "at least 1"),
        ("30-10 * * * *", "runs backwards"),
        ("* * * * FRI-MON", "runs backwards"),
        ("1,,2 * * * *", "got \"\""),
        ("0 0 31 2 *", "no month has such a day"),
        ("0 0 31 2,4,6,9,11 *", "no month has such a day"),
    ] {
        let error = bad.parse::<Cron>().expect_err(bad).to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert!("*,".repeat(300).parse::<Cron>().is_err());
}

#[test]
fn what_is_not_the_start_of_a_period_names_none() {
    for key in [
        "2026-03-23",
        "2026-03-23T05:00:01Z",
        "2026-03-23T05:00Z",
        "2026-03-23T06:00:00+01:00",
        "once",
    ] {
        let found = cron("0 5 * * MON").period_named(&key.to_owned().into(), &TimeZone::UTC);
        assert_eq!(found, None, "{key}");
    }
}
