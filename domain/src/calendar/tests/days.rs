//! Rule 1: days are calendar days; gaps, overlaps, weeks and months.

use super::*;

#[test]
fn rule_01_a_day_in_utc_has_24_hours() {
    check(days(), "UTC", &period("2026-03-29", "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"));
    check(days(), "UTC", &period("2024-02-29", "2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z"));
}

#[test]
fn rule_01_a_day_of_23_or_25_hours_is_one_day() {
    let paris = "Europe/Paris";
    check(days(), paris, &period("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"));
    check(days(), paris, &period("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"));
    let new_york = "America/New_York";
    check(days(), new_york, &period("2025-03-09", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z"));
    check(days(), new_york, &period("2025-11-02", "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"));
}

#[test]
fn rule_01_where_midnight_does_not_exist_the_first_valid_instant_begins_the_day() {
    // Clocks went from 00:00 to 01:00.
    let sao_paulo = "America/Sao_Paulo";
    check(days(), sao_paulo, &period("2018-11-03", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"));
    check(days(), sao_paulo, &period("2018-11-04", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"));
    check(
        days(),
        "America/Asuncion",
        &period("2023-10-01", "2023-10-01T04:00:00Z", "2023-10-02T03:00:00Z"),
    );
    check(
        days(),
        "America/Havana",
        &period("2025-03-09", "2025-03-09T05:00:00Z", "2025-03-10T04:00:00Z"),
    );
}

#[test]
fn rule_01_where_midnight_happens_twice_the_first_one_begins_the_day() {
    // Clocks go from 01:00 back to 00:00.
    check(
        days(),
        "America/Havana",
        &period("2025-11-02", "2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"),
    );
    // Clocks went from 00:01 back to 23:01 of the day before.
    check(
        days(),
        "America/St_Johns",
        &period("2006-10-29", "2006-10-29T02:30:00Z", "2006-10-30T03:30:00Z"),
    );
}

#[test]
fn rule_01_where_the_hour_before_midnight_happens_twice_the_day_before_is_longer() {
    // Clocks went from 00:00 back to 23:00 of the day before.
    let sao_paulo = "America/Sao_Paulo";
    check(days(), sao_paulo, &period("2018-02-17", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"));
    check(days(), sao_paulo, &period("2018-02-18", "2018-02-18T03:00:00Z", "2018-02-19T03:00:00Z"));
}

#[test]
fn rule_01_a_day_that_a_zone_left_out_is_no_period() {
    let apia = "Pacific/Apia";
    check(days(), apia, &period("2011-12-29", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"));
    check(days(), apia, &period("2011-12-31", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"));
    let lived = Zones::always(apia.to_owned());
    assert_eq!(lived.period_named(days(), &"2011-12-30".to_owned().into()), None);
    let key = &"2011-12-31".to_owned().into();
    assert_eq!(lived.period_named(days(), key).unwrap().key, *key);
}

#[test]
fn rule_01_a_day_start_in_a_gap_is_the_first_valid_instant() {
    let half_past_two = calendar(Cadence::Day, "02:30");
    // Clocks go from 02:00 to 03:00 at 01:00Z.
    let paris = "Europe/Paris";
    check(
        half_past_two,
        paris,
        &period("2026-03-28", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"),
    );
    check(
        half_past_two,
        paris,
        &period("2026-03-29", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
    );
}

#[test]
fn rule_01_a_day_start_in_an_overlap_is_the_first_occurrence() {
    let half_past_two = calendar(Cadence::Day, "02:30");
    // Clocks go from 03:00 back to 02:00 at 01:00Z.
    let paris = "Europe/Paris";
    check(
        half_past_two,
        paris,
        &period("2026-10-24", "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z"),
    );
    check(
        half_past_two,
        paris,
        &period("2026-10-25", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
    );
}

#[test]
fn rule_01_a_gap_of_half_an_hour_counts_too() {
    let quarter_past_two = calendar(Cadence::Day, "02:15");
    // Clocks go from 02:00 to 02:30 at 15:30Z.
    let zone = "Australia/Lord_Howe";
    check(
        quarter_past_two,
        zone,
        &period("2026-10-04", "2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"),
    );
}

#[test]
fn rule_01_the_hours_before_the_start_of_a_day_belong_to_the_day_before() {
    let five = calendar(Cadence::Day, "05:00");
    check(
        five,
        "Europe/Paris",
        &period("2026-03-28", "2026-03-28T04:00:00Z", "2026-03-29T03:00:00Z"),
    );
    check(five, "UTC", &period("2025-12-31", "2025-12-31T05:00:00Z", "2026-01-01T05:00:00Z"));
}

#[test]
fn rule_01_weeks_are_those_of_iso_8601() {
    let weeks = calendar(Cadence::Week, "00:00");
    check(weeks, "UTC", &period("2026-W13", "2026-03-23T00:00:00Z", "2026-03-30T00:00:00Z"));
    check(weeks, "UTC", &period("2026-W53", "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"));
    check(weeks, "UTC", &period("2027-W01", "2027-01-04T00:00:00Z", "2027-01-11T00:00:00Z"));
    // The year of a week is not always that of its days.
    check(weeks, "UTC", &period("2025-W01", "2024-12-30T00:00:00Z", "2025-01-06T00:00:00Z"));
    check(
        weeks,
        "Europe/Paris",
        &period("2026-W13", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
    );
}

#[test]
fn rule_01_a_week_begins_on_monday_at_the_start_of_the_day() {
    let weeks = calendar(Cadence::Week, "05:00");
    check(weeks, "UTC", &period("2026-W13", "2026-03-23T05:00:00Z", "2026-03-30T05:00:00Z"));
}

#[test]
fn rule_01_months_are_calendar_months() {
    let months = calendar(Cadence::Month, "00:00");
    check(months, "UTC", &period("2026-02", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"));
    check(months, "UTC", &period("2026-12", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"));
    check(
        months,
        "Europe/Paris",
        &period("2026-03", "2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"),
    );
    let shifted = calendar(Cadence::Month, "05:00");
    check(shifted, "UTC", &period("2026-02", "2026-02-01T05:00:00Z", "2026-03-01T05:00:00Z"));
}

#[test]
fn once_is_one_period_for_all_time() {
    let once = calendar(Cadence::Once, "00:00");
    let found = once.period_at(instant("2026-03-29T12:00:00Z"), &TimeZone::UTC);
    assert_eq!((found.key.as_str(), found.starts_at, found.ends_at), ("once", None, None));
    assert_eq!(once.period_named(&found.key, &TimeZone::UTC), Some(found));
    assert_eq!(once.period_named(&"2026-03-29".to_owned().into(), &TimeZone::UTC), None);
}

#[test]
fn a_text_that_is_no_key_names_no_period() {
    let cases = [
        (
            Cadence::Day,
            ["2026-02-30", "2026-3-29", "2026-03-29T00:00:00Z", "+2026-03-29", "once", ""],
        ),
        (Cadence::Week, ["2026-W54", "2025-W53", "2026-W00", "2026-W3", "2026-03-29", "-W"]),
        (Cadence::Month, ["2026-13", "2026-00", "2026-3", "2026-03-29", "2026", "-"]),
    ];
    for (cadence, keys) in cases {
        for key in keys {
            let found =
                calendar(cadence, "00:00").period_named(&key.to_owned().into(), &TimeZone::UTC);
            assert_eq!(found, None, "{key}");
        }
    }
}

#[test]
fn a_start_of_a_day_reads_as_hours_and_minutes() {
    for good in ["00:00", "05:30", "23:59"] {
        assert_eq!(String::from(DayStart::try_from(good.to_owned()).unwrap()), good);
    }
    for bad in ["24:00", "5:00", "05:60", "05", "05:00:00", "-1:00", "+1:00", ""] {
        assert!(DayStart::try_from(bad.to_owned()).is_err(), "{bad}");
    }
}

#[test]
fn a_zone_is_one_of_the_iana_database() {
    for good in ["UTC", "Europe/Paris", "Asia/Kolkata", "America/Argentina/Buenos_Aires"] {
        assert!(zone(good).is_ok(), "{good}");
    }
    for bad in
        ["", "Mars/Olympus", "+02:00", "CET6CDT", "Europe", "../etc/passwd", "Europe/Paris\0"]
    {
        assert!(zone(bad).is_err(), "{bad}");
    }
    // Names of the machine's own zone, of tables that a machine may have, and placeholders.
    for bad in
        ["localtime", "posixrules", "posix/Europe/Paris", "right/UTC", "Factory", "Etc/Unknown"]
    {
        assert!(zone(bad).is_err(), "{bad}");
        assert!(zone(&bad.to_lowercase()).is_err(), "{bad}");
    }
    assert!(zone_names().count() > 400);
    assert!(zone_names().all(|name| zone(&name).is_ok()));
}
