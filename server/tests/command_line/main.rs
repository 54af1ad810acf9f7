//! The command line as an operator uses it: output and exit codes.

mod backfills;
mod bounds;
mod corrections;
mod dev;
mod examples;
mod migration;
mod operations;
mod place;
mod pooler;
mod program;
mod promotion;
mod reconciliations;
mod rewards;
mod sources;
mod streaks;
mod tasks;
mod tls;

use std::io::Read as _;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Stdio;

use plaudit_embedded::test_cluster;
use sqlx::{Connection, PgConnection};

use program::{command, plaudit, sample_tasks, scratch, text};

#[test]
fn the_sample_tasks_are_valid_and_the_schema_is_json() {
    let sample = sample_tasks();
    let valid = plaudit(&["tasks", "validate", sample.to_str().unwrap()], &[]);
    assert!(valid.status.success(), "{}", text(&valid.stderr));
    let schema = plaudit(&["tasks", "schema"], &[]);
    assert!(serde_json::from_slice::<serde_json::Value>(&schema.stdout).is_ok());
    assert_eq!(plaudit(&["tasks", "validate"], &[]).status.code(), Some(2), "misuse");
}

#[test]
fn questionable_parts_of_a_task_file_are_warnings_and_not_errors() {
    let file = scratch(
        "questionable.yaml",
        "tasks:
- id: a
  kind: ordinary
  text: { zh: { title: '{targt}' } }
  window: { until: 2020-01-01T00:00:00Z }
  objective: { on: x, target: 1 }
",
    );
    let file = file.to_str().unwrap();
    let valid = plaudit(&["tasks", "validate", file], &[]);
    assert!(valid.status.success(), "{}", text(&valid.stderr));
    assert_eq!(text(&valid.stderr), "", "the lines of standard error are errors");
    let said = text(&valid.stdout);
    for expected in [
        "4:9: tasks[0].text: has no title in the default locale, en",
        "4:24: tasks[0].text.zh.title: shows {targt} as it is",
        "(did you mean target?)",
        "5:20: tasks[0].window.until: the window has passed",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    let warning = format!("warning: {file}:");
    assert_eq!(said.lines().filter(|line| line.starts_with(&warning)).count(), 3, "{said}");
    assert_eq!(said.lines().last(), Some("1 task in 1 file is valid"), "{said}");
}

#[test]
fn an_unknown_setting_is_named() {
    let refused = plaudit(&["config"], &[("PLAUDIT_KAFKA_GRUOP", "x")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("PLAUDIT_KAFKA_GRUOP"));
    let file = scratch("wrong.toml", "[http]\nlisten = \"127.0.0.1:1\"\nport = 1\n");
    let refused = plaudit(&["--config", file.to_str().unwrap(), "config"], &[]);
    assert!(text(&refused.stderr).contains("http.port"), "{}", text(&refused.stderr));
}

#[test]
fn a_database_that_is_down_is_named_with_host_and_port() {
    let variables = [
        ("PLAUDIT_DATABASE_URL", "postgres://me:hunter2@127.0.0.1:9/plaudit"),
        ("PLAUDIT_DATABASE_STARTUP_TIMEOUT", "PT1S"),
    ];
    let refused = plaudit(&["migrate"], &variables);
    assert_eq!(refused.status.code(), Some(1));
    let message = text(&refused.stderr);
    assert!(message.contains("127.0.0.1:9") && !message.contains("hunter2"), "{message}");
    let first = message.lines().next().unwrap();
    assert!(
        first.contains("does not answer yet") && first.contains("1 s"),
        "reported at once: {first}"
    );
}

#[tokio::test]
async fn a_schema_of_another_version_is_refused_with_the_command_that_helps() {
    let url = test_cluster::create_database("cli").await;
    let list = || plaudit(&["tasks", "list"], &[("PLAUDIT_DATABASE_URL", &url)]);
    let old = text(&list().stderr);
    assert!(old.contains("plaudit migrate"), "{old}");
    assert!(plaudit(&["migrate"], &[("PLAUDIT_DATABASE_URL", &url)]).status.success());
    assert!(list().status.success());
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', true, '', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    let newer = text(&list().stderr);
    assert!(newer.contains("newer"), "{newer}");
    let newer = plaudit(&["migrate"], &[("PLAUDIT_DATABASE_URL", &url)]);
    assert_eq!(newer.status.code(), Some(1), "{}", text(&newer.stderr));
}

/// Commands that need no configuration run even if it is faulty.
#[test]
fn what_needs_no_configuration_does_not_read_it() {
    let sample = sample_tasks();
    let sources = program::sample_sources();
    for arguments in [
        &["config", "--help-settings"][..],
        &["tasks", "schema"],
        &["tasks", "validate", sample.to_str().unwrap()],
        &["sources", "check", sources.to_str().unwrap()],
    ] {
        let done = plaudit(arguments, &[("PLAUDIT_NO_SUCH_SETTING", "x")]);
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
    }
}

#[test]
fn other_programs_variables_may_hold_any_bytes() {
    let bytes = std::ffi::OsString::from_vec(vec![0xff, 0xfe]);
    let done = command(&["config"], &[]).env("LS_COLORS", &bytes).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let refused = command(&["config"], &[]).env("PLAUDIT_KAFKA_GROUP", &bytes).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("PLAUDIT_KAFKA_GROUP"), "{}", text(&refused.stderr));
}

/// The reader is gone, as in `plaudit config --help-settings | head -1`.
#[test]
fn a_reader_that_has_gone_is_no_reason_to_panic() {
    for arguments in [&["config", "--help-settings"][..], &["tasks", "schema"]] {
        let mut child =
            command(arguments, &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
        assert_eq!(said, "");
    }
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let refused = command(&["tasks", "schema"], &[]).stdout(full).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "a full disk is a failure");
    assert!(text(&refused.stderr).contains("standard output"), "{}", text(&refused.stderr));
}

#[test]
fn the_benchmark_has_a_help_of_its_own() {
    let help = plaudit(&["bench", "--help"], &[]);
    let said = text(&help.stdout) + &text(&help.stderr);
    assert!(said.contains("plaudit-bench"), "{said}");
}

#[test]
fn a_subcommand_that_is_not_there_is_misuse() {
    for arguments in [&["tasks", "plans", "x"][..], &["parked", "free", "x"]] {
        let refused = plaudit(arguments, &[]);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(text(&refused.stderr).contains("unrecognized subcommand"));
    }
    let half = plaudit(&["tasks", "list", "--url", "http://127.0.0.1:9"], &[]);
    assert_eq!(half.status.code(), Some(2), "a server wants a token");
}
