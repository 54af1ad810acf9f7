//! `plaudit streaks`.

use crate::program::{migrated, plaudit, sample_tasks, text};

#[tokio::test]
async fn an_amnesty_is_declared_and_listed_with_its_reason() {
    let url = migrated().await;
    let run = |arguments: &[&str]| plaudit(arguments, &[("PLAUDIT_DATABASE_URL", &url)]);
    let sample = sample_tasks();
    assert!(run(&["tasks", "publish", sample.to_str().unwrap()]).status.success());
    let span = ["--from", "2026-03-04T00:00:00Z", "--until", "2026-03-05T00:00:00Z"];
    let amnesty = |more: &[&str]| run(&[&["streaks", "amnesty"], &span[..], more].concat());
    let declared = amnesty(&["--tasks", "sign-in", "--reason", "an outage"]);
    assert!(declared.status.success(), "{}", text(&declared.stderr));
    let said = text(&declared.stdout);
    assert!(said.contains("2026-03-04T00:00:00Z to 2026-03-05T00:00:00Z  sign-in"), "{said}");
    let listed = text(&run(&["streaks", "list"]).stdout);
    assert!(listed.contains("by os:") && listed.contains(": an outage"), "{listed}");
    let history = text(&run(&["tasks", "history", "sign-in"]).stdout);
    assert!(history.contains("amnesty from 2026-03-04T00:00:00Z"), "{history}");

    let refused = amnesty(&["--tasks", "sign-in,first-team", "--reason", "an outage"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("first-team is not continuous"));
    assert_eq!(amnesty(&[]).status.code(), Some(2), "without a reason");
}
