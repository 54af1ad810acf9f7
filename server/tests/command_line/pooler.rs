//! Plaudit behind `PgBouncer` with its default settings. Without the program the tests print that
//! they are skipped.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr as _;

use plaudit_embedded::{port, test_cluster};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::program::{Running, eventually, plaudit, scratch, text};

fn program() -> Option<PathBuf> {
    let known = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(PathBuf::from);
    let found = known.into_iter().find(|path| path.exists());
    if found.is_none() {
        eprintln!("SKIPPED: pgbouncer is not installed; dev/install installs it");
    }
    found
}

/// Starts a pooler in front of a new database. Returns it with the address through it.
async fn behind_a_pooler(program: PathBuf, mode: &str) -> (Running, String) {
    let url = test_cluster::create_database("pooled").await;
    let options = PgConnectOptions::from_str(&url).unwrap();
    let (credentials, rest) = url.split_once("://").unwrap().1.split_once('@').unwrap();
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let database = rest.split_once('/').unwrap().1;
    let users = scratch("pooler-users.txt", &format!("\"{user}\" \"{password}\"\n"));
    let port = port::choose_free().unwrap();
    // PgBouncer refuses to run as root.
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let account = if is_root { "user = postgres\n" } else { "" };
    let settings = scratch(
        "pooler.ini",
        &format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n{account}",
            options.get_host(),
            options.get_port(),
            users.display(),
        ),
    );
    let mut command = Command::new(program);
    command.arg(settings);
    let pooler = Running::start(command);
    eventually("the pooler listens", async || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    })
    .await;
    (pooler, format!("postgres://{credentials}@127.0.0.1:{port}/{database}"))
}

#[tokio::test]
async fn a_pooler_that_gives_each_connection_a_session_serves_everything() {
    let Some(program) = program() else { return };
    let (_pooler, url) = behind_a_pooler(program, "session").await;
    let migrated = plaudit(&["migrate"], &[("PLAUDIT_DATABASE_URL", &url)]);
    assert!(migrated.status.success(), "{}", text(&migrated.stderr));
    let pool = plaudit_event_store::pool::connect_probing(&url, 2).unwrap();
    let (plans, timeout, checked): (String, String, String) = sqlx::query_as(
        "select current_setting('plan_cache_mode'), current_setting('lock_timeout'),
         current_setting('client_connection_check_interval')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!((plans.as_str(), timeout.as_str()), ("force_generic_plan", "5s"), "settings hold");
    assert_eq!(checked, "2s");
    assert!(PgConnection::connect(&url).await.is_err(), "the driver's own options are refused");
}

#[tokio::test]
async fn a_pooler_that_shares_sessions_is_refused_with_the_setting_that_helps() {
    let Some(program) = program() else { return };
    for mode in ["transaction", "statement"] {
        let (_pooler, url) = behind_a_pooler(program.clone(), mode).await;
        let refused = plaudit(&["migrate"], &[("PLAUDIT_DATABASE_URL", &url)]);
        assert_eq!(refused.status.code(), Some(1), "{mode}");
        let message = text(&refused.stderr);
        assert!(message.contains("pool_mode = session"), "{mode}: {message}");
    }
}
