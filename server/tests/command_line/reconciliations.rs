//! `plaudit rewards reconcile`.

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::program::scratch;
use crate::rewards::Desk;

#[tokio::test]
async fn grants_are_reconciled_with_what_a_payer_says() {
    let desk = Desk::open().await;
    let begun = jiff::Timestamp::now();
    let grants = ["ann", "ben", "cid", "dan", "eve"].map(|user| desk.grant(user, "5"));
    let [missing, double, different, claimed, paid] = &grants;
    for grant in [missing, double, different, paid] {
        desk.settle(grant, "delivered").await;
    }
    let stranger = "00000000-0000-0000-0000-000000000000";
    let file = format!(
        "Amount;Grant\n5;{double}\n5.0;{double}\n6;{different}\n5;{claimed}\n5;{paid}\n1;{stranger}\n"
    );
    let file = scratch("paid.csv", &file);
    let file = file.to_str().unwrap();
    let reconcile = |from: &str, until: &str, rest: &[&str]| {
        let arguments = ["rewards", "reconcile", "--from", from, "--until", until];
        desk.json(&[&arguments[..], rest].concat())
    };
    let counts =
        json!({"missing": 1, "double": 1, "different_amount": 1, "unconfirmed": 1, "unknown": 1});
    let (from, until) = (begun.to_string(), "2999-01-01T00:00:00Z");
    let (code, report) = reconcile(&from, until, &["--against", file]);
    assert_eq!((code, &report["counts"]), (Some(1), &counts), "{report}");
    assert_eq!(report["states"], json!({"delivered": 4, "claimed": 1}));
    assert_eq!(report["differences"][0]["grant"], json!(missing));

    // Payments outside the span are compared all the same, and no grant of the span is missing.
    let (code, report) = reconcile("2020-01-01T00:00:00Z", &from, &["--against", file]);
    let counts = json!({"double": 1, "different_amount": 1, "unconfirmed": 1, "unknown": 1});
    assert_eq!((code, &report["counts"], &report["states"]), (Some(1), &counts, &json!({})));
    let (code, report) = reconcile(&from, until, &[]);
    assert_eq!((code, &report["differences"]), (Some(0), &json!([])), "no grant has failed");

    // An overdue grant is pending, with a file of the payer and without.
    desk.queue(claimed, "now() - interval '1 minute'").await;
    let others = scratch("others.csv", &format!("grant,amount\n{paid},5\n"));
    let (code, report) = reconcile(&from, until, &["--against", others.to_str().unwrap()]);
    assert_eq!((code, &report["counts"]), (Some(1), &json!({"missing": 3, "pending": 1})));
    let (code, report) = reconcile(&from, until, &[]);
    assert_eq!((code, &report["counts"]), (Some(1), &json!({"pending": 1})), "{report}");
    assert_eq!(report["differences"][0]["grant"], json!(claimed));

    let wrong = scratch("wrong.csv", &format!("grant,amount\n{}", "x,1\n".repeat(30)));
    let arguments = ["rewards", "reconcile", "--from", &from, "--until", until, "--against"];
    let (code, _, error) = desk.run(&[&arguments[..], &[wrong.to_str().unwrap()]].concat());
    assert_eq!(code, Some(1));
    assert!(error.contains(":2: \"x\" is not the id of a grant"), "{error}");
    assert!(error.lines().count() < 25 && error.contains("30 lines"), "{error}");
}

/// A payer may have paid a reward that was given up without an answer and then revoked.
#[tokio::test]
async fn a_revoked_grant_that_may_be_paid_is_warned_of_and_reconciled() {
    let desk = Desk::open().await;
    let begun = jiff::Timestamp::now().to_string();
    let grants = ["ann", "ben", "cid"].map(|user| desk.grant(user, "5"));
    let [unsent, sent, paid] = &grants;
    for grant in [sent, paid] {
        desk.append(grant, "delivery_started", &json!({})).await;
        desk.settle(grant, "failed").await;
    }
    let revoke = |grant: &str| desk.run(&["rewards", "revoke", grant, "--reason", "fraud"]);
    let (code, said, error) = revoke(unsent);
    assert_eq!((code, said.as_str(), error.as_str()), (Some(0), "1 grant revoked\n", ""));
    for grant in [sent, paid] {
        let (code, said, error) = revoke(grant);
        assert_eq!((code, said.as_str()), (Some(0), "1 grant revoked\n"), "{error}");
        assert!(error.contains(grant) && error.contains("may have been paid"), "{error}");
    }
    let reconcile = |rest: &[&str]| {
        let until = "2999-01-01T00:00:00Z";
        let arguments = ["rewards", "reconcile", "--from", &begun, "--until", until];
        desk.json(&[&arguments[..], rest].concat())
    };
    assert_eq!(reconcile(&[]).0, Some(0), "no payer has acknowledged");
    let file = scratch("revoked.csv", &format!("grant,amount\n{paid},5\n"));
    let against = ["--against", file.to_str().unwrap()];
    let (code, report) = reconcile(&against);
    assert_eq!((code, &report["counts"]), (Some(1), &json!({"paid_revoked": 1})), "{report}");
    assert_eq!(report["differences"][0]["grant"], json!(paid));
    // The payer's word is enough.
    let word = json!({"grant": sent, "delivered": true, "reason": "the reward was revoked, which is final"});
    desk.append(sent, "acknowledgement_ignored", &word).await;
    let (code, report) = reconcile(&[]);
    assert_eq!((code, &report["counts"]), (Some(1), &json!({"paid_revoked": 1})), "{report}");
    assert_eq!(report["differences"][0]["grant"], json!(sent));
}

/// The events of that time may hide a difference.
#[tokio::test]
async fn a_reconciliation_that_could_not_read_an_event_does_not_succeed() {
    let desk = Desk::open().await;
    let begun = jiff::Timestamp::now().to_string();
    let grant = desk.grant("ann", "5");
    desk.settle(&grant, "delivered").await;
    let arguments = ["rewards", "reconcile", "--from", &begun, "--until", "2999-01-01T00:00:00Z"];
    assert_eq!(desk.run(&arguments).0, Some(0));
    let mut connection = PgConnection::connect(&desk.database).await.unwrap();
    let unreadable = "insert into events (lane, aggregate_type, aggregate_id, sequence, event_type, event_version,
                                          payload, metadata, position)
                      select lane, aggregate_type, aggregate_id, sequence + 1, event_type, '99.0', payload, '{}',
                             position + 1
                      from events where event_type = 'reward_delivered'";
    sqlx::query(unreadable).execute(&mut connection).await.unwrap();
    let (code, said, error) = desk.run(&arguments);
    assert_eq!(code, Some(1), "{said}");
    assert!(error.contains("1 event of that time can't be read"), "{error}");
}
