//! `plaudit dev`: runs everything on this machine, and leaves nothing running.

use std::process::ExitCode;

use plaudit_domain::lane::LaneCount;
use plaudit_event_store::{catalogue_store, schema};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::projections;
use super::serve::{self, Serving};
use crate::cli::{DevArgs, Role};
use crate::config::Config;
use crate::dev::announcement::{Announcement, VARIABLES, url_of};
use crate::dev::folder::Folder;
use crate::dev::sample::Sample;
use crate::dev::services::Services;
use crate::dev::{tokens, topics};
use crate::failure::Failure;
use crate::output::outln;
use crate::signals::ShutdownSignals;
use crate::{logging, startup};

/// Partitions of the private broker's topics. A power of two, so that the users of each partition
/// have lanes of their own.
const PARTITIONS: i32 = 8;

/// Runs until Ctrl-C.
pub async fn run(config: &mut Config, args: DevArgs) -> Result<ExitCode, Failure> {
    let mut signals = ShutdownSignals::listen(None)?;
    if config.is_default("log.level") {
        config.set("log.level", "warn,librdkafka=off");
    }
    logging::start(config)?;
    if let Some(listen) = &args.listen {
        config.set("http.listen", listen.clone());
        config.recheck()?;
    }
    // A port in use is reported before minutes are spent on anything else, and a free one is kept.
    let Some(listener) = signals.unless(serve::listen(config)).await else { return Ok(stopped()) };
    let listener = listener?;
    let folder = Folder::take(&args.dir)?;
    let services = Services::start(&args.dir, args.database.clone(), args.kafka.clone());
    let Some(services) = signals.unless(services).await else { return Ok(stopped()) };
    let services = services?;
    let outcome = run_beside(config, &args, &folder, &services, listener, &mut signals).await;
    services.stop().await;
    outcome.map(|()| stopped())
}

fn stopped() -> ExitCode {
    outln!("stopped");
    ExitCode::SUCCESS
}

async fn run_beside(
    config: &mut Config,
    args: &DevArgs,
    folder: &Folder,
    services: &Services,
    listener: TcpListener,
    signals: &mut ShutdownSignals,
) -> Result<(), Failure> {
    let secret = match config.get("auth.hs256_secret") {
        Some(secret) => secret.to_owned(),
        None => tokens::secret(&args.dir)?,
    };
    config.set("auth.hs256_secret", secret.clone());
    config.set("database.url", services.database_url.clone());
    config.set("kafka.brokers", services.brokers.clone());
    let topic = config.list("kafka.topics").first().cloned().unwrap_or_default();
    let sample = Sample::of(args.example)?;
    let announcement = Announcement {
        url: url_of(listener.local_addr()?),
        brokers: &services.brokers,
        database_url: &services.database_url,
        topic: &topic,
        tokens: tokens::mint(&secret)?,
        sample: &sample,
    };
    let stop = CancellationToken::new();
    let Some(serving) = signals.unless(start(config, &sample, listener, stop.clone())).await else {
        return Ok(());
    };
    let serving = serving?;
    let traffic = if args.quiet {
        None
    } else {
        let mut client = topics::client(&services.brokers, &config.kafka_properties());
        Some(sample.start(&mut client, topic.clone(), stop.clone()))
    };
    let announced = folder
        .write(VARIABLES, &announcement.shell_variables())
        .and_then(|()| folder.write("dev.json", &announcement.json()));
    if announced.is_ok() && traffic.as_ref().is_none_or(Result::is_ok) {
        announcement.print(&args.dir);
        signals.next().await;
    }
    outln!("stopping");
    stop.cancel();
    serving.drain().await;
    announced?;
    if let Some(traffic) = traffic {
        traffic?.abort();
    }
    Ok(())
}

/// Prepares the services and serves. Cancel-safe, as [`serve::start`] is.
async fn start(
    config: &Config,
    sample: &Sample,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<Serving, Failure> {
    let names = config.list("kafka.topics");
    let rewards = config.require("kafka.rewards_topic")?;
    let needed: Vec<(&str, i32)> =
        names.iter().map(String::as_str).chain([rewards]).map(|name| (name, PARTITIONS)).collect();
    let brokers = config.require("kafka.brokers")?;
    topics::create(brokers, &config.kafka_properties(), &needed).await?;
    prepare_database(config, sample).await?;
    let roles = [Role::Ingest, Role::Api, Role::Follow, Role::Deliver];
    serve::start(config, &roles, Some(listener), stop).await
}

/// Migrates the database, and publishes the sample tasks that it does not have yet.
async fn prepare_database(config: &Config, sample: &Sample) -> Result<(), Failure> {
    let pool = startup::database(config).await?;
    schema::migrate(&pool, LaneCount::try_from(i64::from(config.number("database.lanes")))?)
        .await?;
    projections::fill_due(&pool).await?;
    let tasks = plaudit_task_file::parse(sample.tasks)
        .map_err(|faults| Failure::new(format!("the sample tasks: {}", faults[0])))?;
    let known = catalogue_store::CatalogueStore::default().newest(&pool).await?;
    let new: Vec<_> = tasks.into_iter().filter(|task| known.task(&task.id).is_none()).collect();
    catalogue_store::publish(&pool, &new, "plaudit dev").await?;
    pool.close().await;
    Ok(())
}
