//! `plaudit rewards`, in the database and against an endpoint.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::corrections::act;
use crate::program::{migrated, plaudit, scratch, text};

/// A database with grants by hand, and an operator at its command line.
pub struct Desk {
    pub database: String,
}

impl Desk {
    pub async fn open() -> Self {
        Self { database: migrated().await }
    }

    pub fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let done = plaudit(arguments, &[("PLAUDIT_DATABASE_URL", self.database.as_str())]);
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    }

    pub fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let (code, out, err) = self.run(&[arguments, &["--format", "json"]].concat());
        let read = serde_json::from_str(&out);
        (code, read.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}{err}")))
    }

    /// Grants a user some coins. Returns the grant.
    pub fn grant(&self, user: &str, amount: &str) -> String {
        let arguments = ["rewards", "grant", user, "--kind", "currency", "--code", "coin"];
        let rest = ["--amount", amount, "--line", "amends", "--reason", "a test"];
        let (code, granted) = self.json(&[&arguments[..], &rest].concat());
        assert_eq!(code, Some(0), "{granted}");
        granted["grant"].as_str().unwrap().to_owned()
    }

    /// Settles a grant as the delivery does after a payer's answer.
    pub async fn settle(&self, grant: &str, state: &str) {
        let at = jiff::Timestamp::now().to_string();
        let more = match state {
            "failed" => json!({"at": at, "reason": "account closed"}),
            _ => json!({"at": at}),
        };
        self.append(grant, &format!("reward_{state}"), &more).await;
        let mut connection = PgConnection::connect(&self.database).await.unwrap();
        sqlx::query("update reward_state set state = $2 where grant_id = $1::uuid")
            .bind(grant)
            .bind(state)
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// Appends an event about a grant as stock postgres-es does; the next batch of the user, and
    /// `resync`, fold it.
    pub async fn append(&self, grant: &str, event: &str, more: &Value) {
        let mut connection = PgConnection::connect(&self.database).await.unwrap();
        let (user, reward): (String, Value) = sqlx::query_as(
            "select aggregate_id, payload::jsonb -> 'reward' from events
             where event_type = 'reward_granted' and payload->'reward'->>'grant' = $1",
        )
        .bind(grant)
        .fetch_one(&mut connection)
        .await
        .unwrap();
        let mut payload = json!({"type": event});
        match event {
            "acknowledgement_ignored" => payload["at"] = json!(jiff::Timestamp::now()),
            _ => payload["reward"] = reward,
        }
        let fields = more.as_object().unwrap().clone();
        payload.as_object_mut().unwrap().extend(fields);
        sqlx::query(
            "insert into cqrs_events
             select 'UserTasks', $1, 1 + max(sequence), $2, '1.0', $3, '{}'
             from events where aggregate_id = $1",
        )
        .bind(&user)
        .bind(event)
        .bind(&payload)
        .execute(&mut connection)
        .await
        .unwrap();
    }

    /// Queues the delivery of a grant, as the delivering process does. `give_up_at` is SQL.
    pub async fn queue(&self, grant: &str, give_up_at: &str) {
        let mut connection = PgConnection::connect(&self.database).await.unwrap();
        let sql = format!(
            "insert into deliveries (lane, grant_id, channel, pays, user_id, position, ordinal, reward, state, due_at,
                                     give_up_at)
             select lane, grant_id, 'kafka', true, user_id, granted_position, ordinal, '{{}}', 'waiting', now(),
                    {give_up_at}
             from reward_state where grant_id = $1::uuid"
        );
        sqlx::query(&sql).bind(grant).execute(&mut connection).await.unwrap();
    }
}

#[tokio::test]
async fn grants_are_listed_shown_and_delivered_again_by_command() {
    let desk = Desk::open().await;
    let (ann, ben) = (desk.grant("ann", "5"), desk.grant("ben", "7"));
    let (code, listed) = desk.json(&["rewards", "list", "--state", "claimed", "--code", "coin"]);
    assert_eq!((code, listed["grants"].as_array().unwrap().len()), (Some(0), 2), "{listed}");
    let (_, page) = desk.json(&["rewards", "list", "--limit", "1"]);
    let next = page["next"].as_str().unwrap();
    let (_, rest) = desk.json(&["rewards", "list", "--after", next]);
    assert_eq!((rest["grants"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(desk.json(&["rewards", "list", "--state", "failed"]).1["grants"], json!([]));
    let (code, _, error) = desk.run(&["rewards", "list", "--state", "lost"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("claimable") && error.contains("\"lost\""), "{error}");

    let (code, shown) = desk.json(&["rewards", "show", &ann]);
    assert_eq!((code, &shown["user"], &shown["amount"]), (Some(0), &json!("ann"), &json!(5)));
    let said = desk.run(&["rewards", "show", &ann]).1;
    assert!(said.contains("5 currency/coin") && said.contains("line amends"), "{said}");
    let nobody = "00000000-0000-0000-0000-000000000000";
    assert_eq!(desk.run(&["rewards", "show", nobody]).0, Some(1));

    desk.settle(&ben, "failed").await;
    let again = ["rewards", "redeliver", "--failed", "--code", "coin", "--reason", "open again"];
    let (code, said, error) = desk.run(&again);
    assert_eq!((code, said.as_str()), (Some(0), "1 grant will be delivered again\n"), "{error}");
    let (code, _, error) = desk.run(&["rewards", "redeliver", nobody, "--reason", "x"]);
    assert_eq!(code, Some(1));
    assert!(error.contains("unknown grant"), "{error}");
    assert_eq!(desk.run(&["rewards", "redeliver", &ann, "--reason", " "]).0, Some(1));
    assert_eq!(desk.run(&["rewards", "redeliver", &ann]).0, Some(2), "a reason is required");
    let (_, operations) = desk.json(&["audit", "operations"]);
    let first = &operations["operations"][0];
    assert_eq!(first["operation"], "rewards.redeliver-many", "{operations}");
    assert_eq!(
        (&first["subject"], &first["reason"]),
        (&json!("state=failed code=coin"), &json!("open again"))
    );
    assert!(first["operator"].as_str().unwrap().starts_with("os:"), "{operations}");
    let rebuild = ["projections", "rebuild", "task_view", "--reason", "a new index"];
    assert_eq!(desk.run(&rebuild).0, Some(0));
    let said = desk.run(&["audit", "operations", "--limit", "1"]).1;
    assert!(said.contains("projections.rebuild") && said.contains(": a new index"), "{said}");
    assert!(said.contains("--after"), "{said}");
    let history = desk.run(&["audit", "history", "ben", "--format", "json"]).1;
    assert!(history.contains("redelivery_requested") && history.contains("\"os:"), "{history}");
}

/// The reward was sent by a channel that is no longer configured.
#[tokio::test]
async fn rule_14_a_reward_that_was_sent_goes_to_another_payer_only_if_the_operator_says_so() {
    let desk = Desk::open().await;
    let ann = desk.grant("ann", "5");
    let mut connection = PgConnection::connect(&desk.database).await.unwrap();
    let sql = "insert into deliveries (lane, grant_id, channel, pays, user_id, position, ordinal, reward, state, due_at, attempts)
               select lane, grant_id, 'old', true, user_id, 1, 0, '{}', 'waiting', now(), 1 from reward_state";
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let channels = json!([{"name": "new", "type": "webhook", "url": "https://new.example", "secrets": [secret]}]);
    let channels = channels.to_string();
    let run = |more: &[&str]| {
        let arguments = [&["rewards", "redeliver", &ann, "--reason", "moved"], more].concat();
        let (url, channels) = (desk.database.as_str(), channels.as_str());
        let settings = [("PLAUDIT_DATABASE_URL", url), ("PLAUDIT_REWARDS_CHANNELS", channels)];
        let done = plaudit(&arguments, &settings);
        (done.status.code(), text(&done.stderr))
    };
    let (code, error) = run(&[]);
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("channel old") && error.contains("by new"), "{error}");
    assert_eq!(run(&["--to-new-payer"]).0, Some(0));
}

#[tokio::test]
async fn a_grant_by_hand_is_repeated_by_the_line_that_was_printed() {
    let desk = Desk::open().await;
    let grant = ["rewards", "grant", "ann", "--kind", "currency", "--code", "coin"];
    let grant = [&grant[..], &["--amount", "5", "--reason", "a test"]].concat();
    let (code, first, said) = desk.run(&grant);
    assert_eq!(code, Some(0), "{said}");
    let line = said.rsplit(' ').next().unwrap().trim();
    let (code, again, said) = desk.run(&[&grant[..], &["--line", line]].concat());
    assert_eq!((code, again, said.as_str()), (Some(0), first, ""));
    let by_key = [&grant[..], &["--idempotency-key", "case-7"]].concat();
    assert_eq!(desk.run(&by_key).1, desk.run(&by_key).1);
    let (_, listed) = desk.json(&["rewards", "list"]);
    assert_eq!(listed["grants"].as_array().unwrap().len(), 2, "{listed}");
}

#[tokio::test]
async fn what_became_due_is_delivered_again_after_a_restore() {
    let desk = Desk::open().await;
    let grants = ["ann", "ben"].map(|user| desk.grant(user, "5"));
    for grant in &grants {
        desk.queue(grant, "null").await;
    }
    desk.settle(&grants[0], "delivered").await;
    let resync = |since: &str, rest: &[&str]| {
        let arguments = ["rewards", "resync", "--since", since, "--reason", "restored"];
        desk.run(&[&arguments[..], rest].concat())
    };
    let past = "2020-01-01T00:00:00Z";
    let sent = |(code, said, error): (Option<i32>, String, String)| {
        assert_eq!(code, Some(0), "{error}");
        said
    };
    assert_eq!(sent(resync("2999-01-01T00:00:00Z", &[])), "0 grants will be delivered again\n");
    assert_eq!(sent(resync(past, &[])), "1 grant will be delivered again\n");
    assert_eq!(sent(resync(past, &["--delivered"])), "2 grants will be delivered again\n");
}

/// A payer chooses the texts of its answers, and a terminal obeys escape sequences.
#[tokio::test]
async fn texts_of_payers_are_shown_with_their_control_characters_escaped() {
    let desk = Desk::open().await;
    let grant = desk.grant("ann", "5");
    desk.queue(&grant, "null").await;
    let mut connection = PgConnection::connect(&desk.database).await.unwrap();
    let refused = r#"update deliveries set state = 'failed', reason = E'no\x1b[2J', attempts = 1, attempted =
        '[{"at": "2026-03-29T12:00:00Z", "duration_ms": 5, "status": 422, "error": "refused\u001b[2J",
           "answer": "never\u001b[2J"}]'"#;
    sqlx::query(refused).execute(&mut connection).await.unwrap();
    sqlx::query("update reward_state set state = 'failed'").execute(&mut connection).await.unwrap();
    let (_, listed, _) = desk.run(&["rewards", "list", "--state", "failed"]);
    assert!(listed.contains("no\\u{1b}[2J"), "{listed}");
    let (_, shown, _) = desk.run(&["rewards", "show", &grant]);
    for text in ["no\\u{1b}[2J", "422  refused\\u{1b}[2J", "answer  never\\u{1b}[2J"] {
        assert!(shown.contains(text), "{shown}");
    }
    assert!(!listed.contains('\u{1b}') && !shown.contains('\u{1b}'), "{shown}");
}

/// Answers posts with these statuses, one after the other.
fn endpoint(statuses: [u16; 3]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for status in statuses {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let answer =
                format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    format!("http://{address}/pay")
}

#[test]
fn an_endpoint_is_tried_without_paying_anything() {
    let secret = ["--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"];
    let test = |url: &str, rest: &[&str]| {
        let arguments = ["rewards", "test-endpoint", url];
        let done = plaudit(&[&arguments[..], &secret, rest].concat(), &[]);
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let private = ["--allow-private"];
    let (code, said, error) = test(&endpoint([204, 200, 401]), &private);
    assert_eq!(code, Some(0), "{said}{error}");
    assert_eq!(said.matches("ok   ").count(), 3, "{said}");
    let (code, said, _) = test(&endpoint([204, 500, 200]), &private);
    assert_eq!(code, Some(1), "it fails at a repeat, and accepts an unsigned message");
    assert_eq!(said.matches("WRONG").count(), 2, "{said}");
    let (code, _, error) = test("http://127.0.0.1:9/pay", &[]);
    assert_eq!(code, Some(1));
    assert!(error.contains("--allow-private"), "{error}");
}

#[tokio::test]
async fn a_reward_that_waits_for_its_budget_is_revoked_by_command() {
    let desk = Desk::open().await;
    let tasks = scratch(
        "rare.yaml",
        "budgets: [ { id: none, limit: 0 } ]
tasks:
- id: rare
  kind: ordinary
  objective: { on: rare.done, target: 1 }
  rewards: [ { line: badge, kind: item, code: gold, amount: 1, budget: none, at_cap: wait } ]
",
    );
    assert_eq!(desk.run(&["tasks", "publish", tasks.to_str().unwrap()]).0, Some(0));
    act(&desk.database, "ann", "rare.done", jiff::Timestamp::now()).await;
    let (_, waiting) = desk.json(&["rewards", "list", "--state", "waiting"]);
    let grant = waiting["grants"][0]["grant"].as_str().unwrap();
    let (code, said, error) = desk.run(&["rewards", "revoke", grant, "--reason", "fraud"]);
    assert_eq!((code, said.as_str()), (Some(0), "1 grant revoked\n"), "{error}");
    let (_, revoked) = desk.json(&["rewards", "list", "--state", "revoked"]);
    assert_eq!(revoked["grants"][0]["grant"], grant, "{revoked}");
    assert_eq!(desk.run(&["projections", "verify"]).0, Some(0));
}
