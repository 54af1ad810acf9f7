//! The private `PostgreSQL`: starts, keeps its commits, survives a kill, and ends with its owner.

use plaudit_embedded::{EmbeddedError, Postgres, PostgresOptions, ScratchDir};
use sqlx::{Connection, PgConnection};
use std::time::{Duration, Instant};

async fn connect(postgres: &Postgres) -> PgConnection {
    PgConnection::connect(&postgres.url("plaudit")).await.unwrap()
}

async fn write(value: i32, postgres: &Postgres) {
    let mut connection = connect(postgres).await;
    sqlx::query("create table if not exists kept (value int)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("insert into kept values ($1)").bind(value).execute(&mut connection).await.unwrap();
}

async fn kept(postgres: &Postgres) -> Vec<i32> {
    let mut connection = connect(postgres).await;
    let kept = sqlx::query_scalar("select value from kept order by value");
    kept.fetch_all(&mut connection).await.unwrap()
}

async fn setting(name: &str, postgres: &Postgres) -> String {
    let mut connection = connect(postgres).await;
    let show = format!("show {name}");
    sqlx::query_scalar(&show).fetch_one(&mut connection).await.unwrap()
}

fn is_running(pid: u32) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

#[tokio::test]
async fn what_was_committed_survives_a_kill_and_a_new_start() {
    let scratch = ScratchDir::create("postgres-kill").unwrap();
    let dir = scratch.path().join("postgres");
    let mut postgres = Postgres::start(&dir, PostgresOptions::scratch()).await.unwrap();
    write(1, &postgres).await;
    let mut session = connect(&postgres).await;
    let (pid, port) = (postgres.pid().unwrap(), postgres.port());

    postgres.kill().await.unwrap();
    assert!(!is_running(pid));
    assert!(session.ping().await.is_err(), "a session outlived its server");
    assert_eq!(postgres.pid(), None);

    postgres.restart().await.unwrap();
    assert_eq!(postgres.port(), port);
    assert_ne!(postgres.pid(), Some(pid));
    write(2, &postgres).await;
    drop(postgres);

    let postgres = Postgres::start(&dir, PostgresOptions::scratch()).await.unwrap();
    assert_eq!(postgres.port(), port);
    assert_eq!(kept(&postgres).await, [1, 2]);
}

#[tokio::test]
async fn the_role_may_create_databases_and_is_no_superuser() {
    let scratch = ScratchDir::create("postgres-role").unwrap();
    let options = PostgresOptions::default().with("work_mem", "7MB");
    let postgres = Postgres::start(&scratch.path().join("postgres"), options).await.unwrap();
    let mut connection = connect(&postgres).await;
    sqlx::query("create database another").execute(&mut connection).await.unwrap();
    PgConnection::connect(&postgres.url("another")).await.unwrap();
    PgConnection::connect(&postgres.superuser_url("another")).await.unwrap();
    assert!(sqlx::query("create role mallory").execute(&mut connection).await.is_err());

    let without_password =
        format!("postgres://plaudit:guess@127.0.0.1:{}/plaudit", postgres.port());
    assert!(PgConnection::connect(&without_password).await.is_err());

    for (name, value) in [
        ("work_mem", "7MB"),
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
        ("timezone", "UTC"),
    ] {
        assert_eq!(setting(name, &postgres).await, value, "{name}");
    }
    let collation = "select datcollate from pg_database where datname = 'plaudit'";
    let collation: String = sqlx::query_scalar(collation).fetch_one(&mut connection).await.unwrap();
    assert_eq!(collation, "C");
    postgres.discard().await.unwrap();
    assert!(!scratch.path().join("postgres").exists());
}

#[tokio::test]
async fn a_folder_belongs_to_one_server_at_a_time() {
    let scratch = ScratchDir::create("postgres-owner").unwrap();
    let dir = scratch.path().join("postgres");
    let _first = Postgres::start(&dir, PostgresOptions::scratch()).await.unwrap();
    let second = Postgres::start(&dir, PostgresOptions::scratch()).await;
    let own_pid = Some(std::process::id());
    assert!(matches!(second, Err(EmbeddedError::InUse { pid, .. }) if pid == own_pid));
}

#[tokio::test]
async fn a_port_that_others_took_meanwhile_is_given_up() {
    let scratch = ScratchDir::create("postgres-port").unwrap();
    let dir = scratch.path().join("postgres");
    let postgres = Postgres::start(&dir, PostgresOptions::scratch()).await.unwrap();
    write(1, &postgres).await;
    let taken = postgres.port();
    drop(postgres);

    let _other = std::net::TcpListener::bind(("127.0.0.1", taken)).unwrap();
    let postgres = Postgres::start(&dir, PostgresOptions::scratch()).await.unwrap();
    assert_ne!(postgres.port(), taken);
    assert_eq!(kept(&postgres).await, [1]);
}

/// Kills a `plaudit-embedded run`. Its servers must end soon.
#[tokio::test]
async fn servers_end_with_a_killed_owner() {
    let program = env!("CARGO_BIN_EXE_plaudit-embedded");
    let report = r#"echo "$EMBEDDED_DATABASE_URL $EMBEDDED_KAFKA_BROKERS"; exec sleep 60"#;
    let mut owner = std::process::Command::new(program)
        .args(["run", "--", "sh", "-c", report])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(owner.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let (url, brokers) = line.trim().split_once(' ').unwrap();
    PgConnection::connect(url).await.unwrap();
    std::net::TcpStream::connect(brokers).unwrap();

    owner.kill().unwrap(); // SIGKILL: no destructor runs
    owner.wait().unwrap();
    let begun = Instant::now();
    while PgConnection::connect(url).await.is_ok() || std::net::TcpStream::connect(brokers).is_ok()
    {
        assert!(begun.elapsed() < Duration::from_secs(60), "a server outlived its owner");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
