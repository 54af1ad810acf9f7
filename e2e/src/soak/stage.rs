//! The set-up of a soak.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use plaudit_embedded::{Kafka, KafkaOptions, Postgres, PostgresOptions, port};
use tokio::net::TcpListener;

use super::Options;
use super::chaos::Chaos;
use super::error::SoakError;
use super::findings::Findings;
use super::http::{Api, SECRET};
use super::instance::Instance;
use super::payers::{self, Payers};
use super::program::Program;
use super::tasks::TASK_FILE;
use super::{ACTIONS, ACTIONS_PARTITIONS, REWARDS, REWARDS_PARTITIONS};

/// The number of `plaudit serve`, all in one group.
const INSTANCES: usize = 2;

/// Starts PostgreSQL, Kafka and the instances, and publishes the tasks.
pub async fn set(
    options: &Options,
    dir: &Path,
    findings: &Arc<Findings>,
) -> Result<Chaos, SoakError> {
    let (postgres_dir, kafka_dir) = (dir.join("postgres"), dir.join("kafka"));
    let (postgres, kafka) = tokio::try_join!(
        Postgres::start(&postgres_dir, PostgresOptions::default()),
        Kafka::start(&kafka_dir, KafkaOptions::scratch()),
    )?;
    for (topic, partitions) in [(ACTIONS, ACTIONS_PARTITIONS), (REWARDS, REWARDS_PARTITIONS)] {
        kafka.create_topic(topic, partitions).await?;
    }
    let payer =
        TcpListener::bind("127.0.0.1:0").await.map_err(SoakError::io("listen as a payer"))?;
    let address = payer.local_addr().map_err(SoakError::io("listen as a payer"))?;
    let channels = payers::channels(&address.to_string());
    let program = Program::new(
        &options.plaudit,
        dir,
        &[
            ("PLAUDIT_DATABASE_URL", &postgres.url("plaudit")),
            ("PLAUDIT_KAFKA_BROKERS", &kafka.brokers()),
            ("PLAUDIT_KAFKA_GROUP", "soak"),
            ("PLAUDIT_AUTH_HS256_SECRET", SECRET),
            ("PLAUDIT_REWARDS_CHANNELS", &channels),
        ],
    );
    program.must(&["migrate"]).await?;
    let tasks = dir.join("tasks.yaml");
    std::fs::write(&tasks, TASK_FILE).map_err(SoakError::io("write the task file"))?;
    program.must(&["tasks", "publish", &tasks.display().to_string()]).await?;

    let listens = free_addresses()?;
    let api = Arc::new(Api::new(&listens)?);
    let payers = Payers::start(payer, &kafka.brokers(), &api)?;
    let mut instances: Vec<Instance> = Vec::new();
    for (number, listen) in listens.iter().enumerate() {
        let log = dir.join(format!("serve-{number}.log"));
        let mut instance = Instance::new(&program, number, listen, log);
        instance.start()?;
        instances.push(instance);
    }
    for instance in &mut instances {
        instance.ready(&api).await?;
    }
    let findings = Arc::clone(findings);
    Ok(Chaos::new((postgres, kafka), instances, program, api, payers, findings))
}

/// Returns a free address for each instance, all different. Their ports are outside the range from
/// which the system gives ports away, even while a server is down.
fn free_addresses() -> Result<Vec<String>, SoakError> {
    let mut ports = BTreeSet::new();
    while ports.len() < INSTANCES {
        ports.insert(port::choose_free()?);
    }
    Ok(ports.iter().map(|port| format!("127.0.0.1:{port}")).collect())
}

/// Copies the logs of the processes.
pub fn keep_logs(dir: &Path, to: &Path) -> Result<(), SoakError> {
    let what = || SoakError::io(format!("keep the logs in {}", to.display()));
    std::fs::create_dir_all(to).map_err(what())?;
    for entry in std::fs::read_dir(dir).map_err(what())?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            std::fs::copy(entry.path(), to.join(entry.file_name())).map_err(what())?;
        }
    }
    Ok(())
}
