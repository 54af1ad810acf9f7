//! `plaudit dev`: all of it here, and nothing left running.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plaudit_domain::catalogue::parse;
use plaudit_domain::lane::LaneCount;
use plaudit_event_store::{catalogue_store, schema};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::cli::{DevArgs, Role};
use crate::config::Config;
use crate::dev::services::Services;
use crate::dev::{tokens, topics, traffic};
use crate::failure::Failure;
use crate::{logging, startup};

/// The sample tasks.
const SAMPLE_TASKS: &str = include_str!("../../../samples/tasks.yaml");

/// Partitions of the private broker's topics: a power of two, so that users of a partition lie in
/// lanes of their own.
const PARTITIONS: i32 = 8;

/// Runs until Ctrl-C.
pub async fn run(config: &mut Config, args: DevArgs) -> Result<ExitCode, Failure> {
    if config.is_default("log.level") {
        config.set("log.level", "warn,librdkafka=off");
    }
    logging::start(config)?;
    if let Some(listen) = &args.listen {
        config.set("http.listen", listen.clone());
    }
    check_port(config).await?;
    let services = tokio::select! {
        services = Services::start(&args.dir, args.database.clone(), args.kafka.clone()) => services?,
        stopped = serve::stopped_by_signal() => return stopped.map(|()| ExitCode::SUCCESS),
    };
    let outcome = run_beside(config, &args, &services).await;
    services.stop().await;
    println!("stopped");
    outcome
}

/// A taken port is told before minutes are spent on anything else.
async fn check_port(config: &Config) -> Result<(), Failure> {
    let address = config.require("http.listen")?;
    let free = tokio::net::TcpListener::bind(address).await;
    free.map(drop).map_err(|error| {
        Failure::new(format!("can't listen on {address}: {error}; is another process there? --listen 127.0.0.1:PORT names another"))
    })
}

async fn run_beside(
    config: &mut Config,
    args: &DevArgs,
    services: &Services,
) -> Result<ExitCode, Failure> {
    let secret = match config.get("auth.hs256_secret") {
        Some(secret) => secret.to_owned(),
        None => tokens::secret(&args.dir)?,
    };
    config.set("auth.hs256_secret", secret.clone());
    config.set("database.url", services.database_url.clone());
    config.set("kafka.brokers", services.brokers.clone());
    let names = config.list("kafka.topics");
    let rewards = config.require("kafka.rewards_topic")?.to_owned();
    let wanted: Vec<(&str, i32)> = names
        .iter()
        .map(|name| (name.as_str(), PARTITIONS))
        .chain([(rewards.as_str(), PARTITIONS)])
        .collect();
    topics::create(&services.brokers, &wanted).await?;
    prepare_database(config).await?;
    let stop = CancellationToken::new();
    let roles = [Role::Ingest, Role::Api, Role::Follow, Role::Deliver];
    let serving = serve::start(config, &roles, stop.clone()).await?;
    let topic = names.first().cloned().unwrap_or_default();
    let sample = if args.quiet {
        None
    } else {
        Some(traffic::start(&services.brokers, topic.clone(), stop.clone())?)
    };
    let tokens = tokens::mint(&secret)?;
    announce(config, &args.dir, &services.brokers, &topic, &tokens)?;
    serve::stopped_by_signal().await?;
    println!("stopping");
    stop.cancel();
    serving.drain().await;
    if let Some(sample) = sample {
        sample.abort();
    }
    Ok(ExitCode::SUCCESS)
}

/// Migrates, and publishes the sample tasks that are not there yet.
async fn prepare_database(config: &Config) -> Result<(), Failure> {
    let pool = startup::database(config).await?;
    schema::migrate(&pool, LaneCount::try_from(i64::from(config.number("database.lanes")))?)
        .await?;
    let tasks = parse::parse(SAMPLE_TASKS)
        .map_err(|faults| Failure::new(format!("the sample tasks: {}", faults[0])))?;
    let known = catalogue_store::CatalogueStore::default().newest(&pool).await?;
    let new: Vec<_> = tasks.into_iter().filter(|task| known.task(&task.id).is_none()).collect();
    catalogue_store::publish(&pool, &new, "plaudit dev").await?;
    pool.close().await;
    Ok(())
}

/// Prints where everything is and what to try, and leaves the same in `dev.json` for programs.
fn announce(
    config: &Config,
    dir: &Path,
    brokers: &str,
    topic: &str,
    tokens: &BTreeMap<&str, String>,
) -> Result<(), Failure> {
    let url = format!("http://{}", config.require("http.listen")?);
    let users = traffic::USERS;
    let described =
        json!({"url": url, "brokers": brokers, "topic": topic, "tokens": tokens, "users": users});
    let path = dir.join("dev.json");
    std::fs::write(&path, serde_json::to_string_pretty(&described)?)?;
    println!("API {url}");
    println!("Kafka {brokers} topic {topic}");
    for (role, token) in tokens {
        println!("Token {role} {token}");
    }
    let (user, client) = (users[0], tokens.get("client").map_or("", String::as_str));
    let libs = kafka_libs(dir);
    let action = json!({"specversion": "1.0", "source": "/me", "id": "1", "type": "team.formed", "subject": user,
        "time": jiff::Timestamp::now().to_string(), "data": {}});
    println!();
    println!("Try, in another terminal:");
    println!("  # 1. produce an action with Kafka's own client");
    println!(
        "  echo '{action}' | java -cp '{}/*' org.apache.kafka.tools.ConsoleProducer --bootstrap-server {brokers} --topic {topic}",
        libs.display()
    );
    println!("  # 2. see {user}'s task screen");
    println!("  curl -s -H 'Authorization: Bearer {client}' {url}/v1/users/{user}/tasks");
    println!("  # 3. claim the reward of {user}'s first team");
    println!(
        "  curl -s -X POST -H 'Authorization: Bearer {client}' {url}/v1/users/{user}/tasks/first-team/claim"
    );
    println!();
    println!("Ready. Ctrl-C stops everything; the data stays under {}.", dir.display());
    Ok(())
}

/// Where Kafka's jars are: as the private broker was told, or as `dev/install` left them.
fn kafka_libs(dir: &Path) -> PathBuf {
    let told = std::env::var_os("EMBEDDED_KAFKA_LIBS").map(PathBuf::from);
    let beside = Some(dir.join("kafka-libs")).filter(|path| path.exists());
    told.or(beside).unwrap_or_else(|| PathBuf::from(".plaudit/kafka-libs"))
}
