//! `plaudit serve`: wires the parts together, and drains them at the end.

mod drain;
mod readiness;
mod screen_probe;

use std::process::ExitCode;
use std::sync::Arc;

use plaudit_actions::sources::Sources;
use plaudit_api::auth::{ExpectedClaims, JwksSource, KeyOptions, Keys};
use plaudit_api::{
    ApiState, Computing, ConnectionLimits, CorsOrigins, Exposition, Health, InFlight, Rebuilds,
    Streams,
};
use plaudit_delivery::{Channels, Delivery, DeliveryOptions, EventTopic, Topic};
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::{CommandQueue, sweeper, upkeep};
use plaudit_followers::{HeadWatch, Runner};
use plaudit_ingest::backfill::BackfillWorker;
use plaudit_ingest::{GroupProtocol, Ingest, IngestOptions};
use plaudit_projections::task_view::BatchingLoader;
use plaudit_release::Resolver;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::Role;
use crate::config::Config;
use crate::failure::Failure;
use crate::past_records::past_lookup;
use crate::read_pools::ReadPools;
use crate::signals::{SHUTDOWN_MAX, ShutdownSignals};
use crate::source_files::{SourceFiles, SourceWatch};
use crate::{logging, metrics, open_files, startup};
use readiness::{Parts as ReadinessParts, readiness};
use screen_probe::ScreenProbe;

/// Minimum length of an HS256 secret. One shorter than the hash would be the weakest part of a
/// token.
///
/// Source: RFC 7518, section 3.2.
const HS256_SECRET_BYTES_MIN: usize = 32;

/// File descriptors reserved for everything but HTTP and the database: Kafka's brokers, logs,
/// files.
const FILES_RESERVED: usize = 128;

/// Serves until SIGTERM or SIGINT.
pub async fn run(config: &Config, roles: &[Role]) -> Result<ExitCode, Failure> {
    let mut signals = ShutdownSignals::listen(Some(SHUTDOWN_MAX))?;
    logging::start(config)?;
    let stop = CancellationToken::new();
    let starting =
        async { start(config, roles, listen_for(config, roles).await?, stop.clone()).await };
    if let Some(serving) = signals.unless(starting).await {
        let serving = serving?;
        signals.next().await;
        tracing::info!("stopping: finishing the work that was begun");
        stop.cancel();
        serving.drain().await;
    }
    Ok(ExitCode::SUCCESS)
}

/// The running parts.
pub struct Serving {
    ingest: Option<Ingest>,
    api: Option<tokio::task::JoinHandle<()>>,
    delivery: Option<Delivery>,
    events: Option<EventTopic>,
    digests: Option<Runner>,
    rebuilds: Rebuilds,
    backfills: Option<tokio::task::JoinHandle<()>>,
    pools: ReadPools,
}

/// The options of the parts to start.
struct Parts {
    api: Option<(Keys, CorsOrigins)>,
    ingest: Option<IngestOptions>,
    /// `None` without a role that maps records.
    sources: Option<SourceFiles>,
    delivery: Option<DeliveryOptions>,
    /// `None` if stored events are not published.
    events: Option<Topic>,
}

impl Parts {
    async fn read(config: &Config, roles: &[Role]) -> Result<Self, Failure> {
        let mut parts =
            Self { api: None, ingest: None, sources: None, delivery: None, events: None };
        let has = |role| roles.contains(&role);
        // The API releases parked records, which go through their source mapping again.
        if has(Role::Api) || has(Role::Ingest) {
            parts.sources = Some(SourceFiles::read(config)?);
        }
        if has(Role::Api) {
            parts.api = Some((keys(config).await?, cors_origins(config)?));
        }
        if has(Role::Ingest) {
            parts.ingest = Some(ingest_options(config)?);
        }
        if roles.contains(&Role::Deliver) {
            parts.delivery = Some(DeliveryOptions {
                topic: topic(config, config.require("kafka.rewards_topic")?)?,
                channels: channels(config)?,
                refused_for: plaudit_delivery::REFUSED_FOR,
            });
            parts.events = events_topic(config)?;
        }
        Ok(parts)
    }
}

/// Starts the parts of `roles`, and serves HTTP at `listener` if there is one.
///
/// Cancel-safe: every await precedes the start of the first part, and so does everything that may
/// be wrong with the configuration.
pub async fn start(
    config: &Config,
    roles: &[Role],
    listener: Option<TcpListener>,
    stop: CancellationToken,
) -> Result<Serving, Failure> {
    let parts = Parts::read(config, roles).await?;
    let (pool, lane_count) = startup::serving_database(config).await?;
    let catalogue = Arc::new(CatalogueStore::default());
    startup::answer(catalogue.newest(&pool)).await?;
    let pools = ReadPools::divide(&pool, config)?;
    pool.close().await;

    let published = match parts.sources {
        Some(files) => Some(SourceWatch::start(files, &pools.background, stop.clone()).await?),
        None => None,
    };
    let no_sources = || watch::channel(Arc::<Sources>::default()).1;
    let sources = published.as_ref().map_or_else(no_sources, SourceWatch::current);

    let prometheus = metrics::start(stop.clone())?;
    let workers = config.number("ingest.workers");
    // Writers have connections of their own, so that no number of readers keeps them waiting.
    let writers = startup::writers(config, workers)?;
    let executor = startup::executor(&writers, lane_count, &catalogue);
    let commands = CommandQueue::start(Arc::clone(&executor), usize::try_from(workers)?);
    tokio::spawn(upkeep::run(pools.background.clone(), Arc::clone(&executor), stop.clone()));
    tokio::spawn(sweeper::run(pools.background.clone(), commands.clone(), stop.clone()));
    let rebuilds = Rebuilds::default();
    let heads = HeadWatch::start(&pools.background, stop.clone());
    let start_delivery = |options: &DeliveryOptions| {
        let (executor, heads) = (Arc::clone(&executor), Arc::clone(&heads));
        Delivery::start(options, &executor, &pools.followers, heads, &stop)
    };
    let delivery = parts.delivery.as_ref().map(start_delivery).transpose()?;
    let start_events =
        |topic| EventTopic::start(topic, &pools.followers, Arc::clone(&heads), &stop);
    let events = parts.events.as_ref().map(start_events).transpose()?;
    let digests = roles
        .contains(&Role::Follow)
        .then(|| plaudit_digests::start(&pools.followers, Arc::clone(&heads), stop.clone()));
    // The last part whose start may fail: joining the group and leaving it again would hold up the
    // other members.
    let worker = parts.ingest.as_ref().map(|options| BackfillWorker {
        options: Arc::new(options.clone()),
        records_per_second: config.number("backfill.records_per_second"),
        queue: commands.clone(),
        database: Deadlined::new(&pools.background, plaudit_ingest::CALL_MAX),
        sources: sources.clone(),
        stopped: stop.clone(),
    });
    let start_ingest = |options| {
        Ingest::start(options, commands.clone(), &pools.background, sources.clone(), stop.clone())
    };
    let ingest = parts.ingest.map(start_ingest).transpose()?;
    let backfills = worker.map(BackfillWorker::start);
    let screens =
        BatchingLoader::new(pools.screens.clone(), pools.screens_at_once, executor.clock());
    let readiness = readiness(ReadinessParts {
        background: pools.background.clone(),
        screens: ScreenProbe::start(screens.clone(), lane_count, stop.clone()),
        commands: commands.clone(),
        ingest: ingest.as_ref().map(|ingest| Arc::clone(ingest.health())),
        published,
        followers: [
            delivery.as_ref().map(|delivery| Arc::clone(delivery.health())),
            events.as_ref().map(|events| Arc::clone(events.health())),
            digests.as_ref().map(|digests| Arc::clone(digests.health())),
        ],
        keys: parts.api.as_ref().map(|(keys, _)| keys.clone()),
    });
    let exposition = exposition(prometheus, ingest.as_ref());
    let health = Health { readiness, exposition, serves_api: parts.api.is_some() };
    let limits = connection_limits(config);
    let router = match parts.api {
        Some((keys, cors_origins)) => {
            let in_flight_bytes = usize::try_from(config.number("http.in_flight_bytes_max"))?;
            tokio::spawn(keys.clone().refresh());
            let tolerance = config.duration("future_tolerance");
            let operators = pools.operators.clone();
            let resolver =
                Resolver::new(operators.clone(), commands.clone(), sources.clone(), tolerance);
            plaudit_api::router(ApiState {
                pool: pools.clients.clone(),
                operators,
                screens,
                heads: Arc::clone(&heads),
                computing: Computing::default(),
                in_flight: InFlight::new(in_flight_bytes),
                cors_origins,
                executor: Arc::clone(&executor),
                commands,
                keys,
                readiness: health.readiness,
                exposition: health.exposition,
                future_tolerance: tolerance,
                rebuilds: rebuilds.clone(),
                past: past_lookup(config, sources.clone(), &pools.background),
                payer_routes: channels(config)?.routes(),
                resolver,
                streams: Streams::start(
                    &pools.background,
                    limits.connections_max,
                    heads,
                    stop.clone(),
                ),
            })
        }
        // Supervisors check the health of processes without the API too.
        None => plaudit_api::health_router(health),
    };
    let api = listener.map(|listener| serve_http(listener, router, limits, stop));
    Ok(Serving { ingest, api, delivery, events, digests, rebuilds, backfills, pools })
}

/// The metrics of the process, including the lag of each partition if it ingests.
fn exposition(
    prometheus: metrics_exporter_prometheus::PrometheusHandle,
    ingest: Option<&Ingest>,
) -> Exposition {
    let lag = ingest.map(|ingest| -> Arc<dyn Fn() -> String + Send + Sync> {
        let health = Arc::clone(ingest.health());
        Arc::new(move || health.lag_metrics())
    });
    Exposition::new(prometheus, lag)
}

/// Binds the port; the error names the setting.
pub async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let address = config.require("http.listen")?;
    TcpListener::bind(address).await.map_err(|error| {
        let hint = "Is another process using it? Set another port with `http.listen`, or `--listen` of `plaudit dev`";
        Failure::new(format!("can't listen on {address}: {error}. {hint}"))
    })
}

/// Binds the port for these roles. Without the role `api` it only serves supervisors, so a port
/// that another process has is not a reason to fail.
async fn listen_for(config: &Config, roles: &[Role]) -> Result<Option<TcpListener>, Failure> {
    match listen(config).await {
        Ok(listener) => Ok(Some(listener)),
        Err(failure) if !roles.contains(&Role::Api) => {
            tracing::warn!("/livez, /readyz and /metrics are not served: {failure}");
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

fn cors_origins(config: &Config) -> Result<CorsOrigins, Failure> {
    CorsOrigins::parse(&config.list("http.cors_origins")).map_err(|entry| {
        Failure::new(format!(
            "`http.cors_origins`: {entry:?} is not an origin such as https://app.example, without a path"
        ))
    })
}

/// The configured number of connections, or fewer if the operating system grants too few file
/// descriptors.
fn connection_limits(config: &Config) -> ConnectionLimits {
    let configured = usize::try_from(config.number("http.connections_max")).unwrap_or(usize::MAX);
    let database = usize::try_from(config.number("database.connections_max")).unwrap_or_default();
    let possible =
        open_files::raise_limit().map(|files| files.saturating_sub(FILES_RESERVED + database));
    let connections_max = possible.map_or(configured, |possible| configured.min(possible.max(1)));
    if connections_max < configured {
        tracing::warn!(
            "at most {connections_max} HTTP connections instead of {configured} (`http.connections_max`), \
             since the hard limit of open files is too low; raise it with `ulimit -Hn` or LimitNOFILE="
        );
    }
    ConnectionLimits::new(connections_max)
}

fn serve_http(
    listener: TcpListener,
    router: axum::Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) -> tokio::task::JoinHandle<()> {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("listening on http://{address}");
    }
    tokio::spawn(plaudit_api::serve(listener, router, limits, stop))
}

/// The topic of stored events, if it is switched on. It must not be a topic of actions or rewards,
/// whose consumers could not distinguish the records.
fn events_topic(config: &Config) -> Result<Option<Topic>, Failure> {
    let Some(name) = config.get("kafka.events_topic") else { return Ok(None) };
    let is_read = config.list("kafka.topics").iter().any(|read| read == name);
    if is_read || config.get("kafka.rewards_topic") == Some(name) {
        return Err(Failure::new(format!(
            "`kafka.events_topic` is {name}, which is also a topic of actions or rewards; choose another"
        )));
    }
    Ok(Some(topic(config, name)?))
}

/// A topic to publish to.
fn topic(config: &Config, name: &str) -> Result<Topic, Failure> {
    Ok(Topic {
        brokers: config.require("kafka.brokers")?.to_owned(),
        name: name.to_owned(),
        properties: config.kafka_properties(),
    })
}

/// The channels of rewards. They were checked when the settings were read.
pub fn channels(config: &Config) -> Result<Channels, Failure> {
    let written = config.require("rewards.channels")?;
    Channels::parse(written).map_err(|faults| Failure::new(faults.join("\n")))
}

async fn keys(config: &Config) -> Result<Keys, Failure> {
    let jwks = match config.get("auth.jwks") {
        None => None,
        Some(url) if url.starts_with("http://") || url.starts_with("https://") => {
            let client = reqwest::Client::builder().build()?;
            let url = url
                .parse()
                .map_err(|_| Failure::new(format!("`auth.jwks` is not a URL: {url}")))?;
            Some(JwksSource::Url(url, client))
        }
        Some(_) => config.path("auth.jwks").map(JwksSource::File),
    };
    let hs256_secret = config.get("auth.hs256_secret").map(str::to_owned);
    if hs256_secret.as_ref().is_some_and(|secret| secret.len() < HS256_SECRET_BYTES_MIN) {
        tracing::warn!(
            "`auth.hs256_secret` has fewer than {HS256_SECRET_BYTES_MIN} bytes: it can be guessed from a token"
        );
    }
    let claim = |path: &str| config.get(path).map(str::to_owned);
    let expected =
        ExpectedClaims { audience: claim("auth.audience"), issuer: claim("auth.issuer") };
    Ok(Keys::open(&KeyOptions { hs256_secret, jwks, expected }).await?)
}

/// The options of ingestion, with the configured topics.
pub fn ingest_options(config: &Config) -> Result<IngestOptions, Failure> {
    let mut options = IngestOptions::new(
        config.require("kafka.brokers")?,
        config.list("kafka.topics"),
        config.require("kafka.group")?,
    );
    options.instance_id = config.get("kafka.instance_id").map(str::to_owned);
    options.group_protocol = match config.get("kafka.group_protocol") {
        Some("consumer") => GroupProtocol::Consumer,
        _ => GroupProtocol::Classic,
    };
    options.properties = config.kafka_properties();
    options.workers = usize::try_from(config.number("ingest.workers"))?;
    options.batch_max = usize::try_from(config.number("ingest.batch_max"))?;
    options.future_tolerance = config.duration("future_tolerance");
    Ok(options)
}
