//! Faults during the traffic, one after the other, in an order given by the seed.

mod rebuilds;
mod silence;
mod takeover;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plaudit_embedded::{Kafka, Postgres};
use tokio_util::sync::CancellationToken;

use super::error::SoakError;
use super::findings::Findings;
use super::http::Api;
use super::instance::Instance;
use super::payers::Payers;
use super::program::Program;
use super::rng::Rng;
use rebuilds::Rebuilds;

/// Time limit from a restart until a batch is applied. A dead member's session takes seconds to
/// expire.
const APPLIED_MAX: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);

/// A fault that the soak causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of a `plaudit serve`.
    KillInstance(usize),
    /// SIGTERM to a `plaudit serve`, which stays down until the other one has taken over its
    /// partitions.
    StopInstance(usize),
    /// A crash of PostgreSQL.
    CrashPostgres,
    /// `kill -9` of the broker.
    KillBroker,
    /// A rebuild of a read model, which goes on during later faults.
    Rebuild(&'static str),
    /// `kill -9` of a running rebuild. Running the command again continues it.
    KillRebuild(&'static str),
    /// The webhook's payer stops answering until an instance reports it.
    SilencePayer,
}

/// One fault of each kind. The first round consists of these.
const KINDS: [Fault; 8] = [
    Fault::KillInstance(0),
    Fault::Rebuild("task_view"),
    Fault::KillRebuild("task_view"),
    Fault::CrashPostgres,
    Fault::KillBroker,
    Fault::StopInstance(1),
    Fault::Rebuild("reward_state"),
    Fault::SilencePayer,
];

/// Faults that later rounds repeat, in addition to [`KINDS`].
const REPEATED: [Fault; 4] = [
    Fault::KillInstance(1),
    Fault::StopInstance(0),
    Fault::CrashPostgres,
    Fault::KillRebuild("reward_state"),
];

impl Fault {
    fn name(self) -> String {
        match self {
            Self::KillInstance(_) => "kill -9 plaudit".to_owned(),
            Self::StopInstance(_) => "SIGTERM plaudit".to_owned(),
            Self::CrashPostgres => "crash PostgreSQL".to_owned(),
            Self::KillBroker => "kill -9 Kafka".to_owned(),
            Self::Rebuild(name) => format!("rebuild {name}"),
            Self::KillRebuild(_) => "kill -9 a rebuild".to_owned(),
            Self::SilencePayer => "dead payer".to_owned(),
        }
    }
}

/// The faults that were caused, and the times of recovery.
#[derive(Debug, Default)]
pub struct Damage {
    /// By fault: the seconds from each restart to the first applied batch.
    pub until_applied: BTreeMap<String, Vec<f64>>,
    /// By fault: the number of times it was caused.
    pub counts: BTreeMap<String, u64>,
    /// The seconds from each SIGTERM until the other instance had applied records of every
    /// partition.
    pub takeovers: Vec<f64>,
}

impl Damage {
    /// Returns the kinds of faults that were never caused.
    pub fn missing(&self) -> Vec<String> {
        let names = KINDS.iter().map(|fault| fault.name());
        let mut missing: Vec<String> =
            names.filter(|name| !self.counts.contains_key(name)).collect();
        if self.takeovers.is_empty() {
            missing.push("an instance that took over".to_owned());
        }
        missing
    }
}

/// Everything that the soak can break.
pub struct Chaos {
    /// The database.
    pub postgres: Postgres,
    /// The Kafka broker.
    pub kafka: Kafka,
    /// The processes under test.
    pub instances: Vec<Instance>,
    /// The commands of the program.
    pub program: Program,
    /// The API of the instances.
    pub api: Arc<Api>,
    /// Collects what plaudit does wrong.
    pub findings: Arc<Findings>,
    /// The payers.
    pub payers: Arc<Payers>,
    /// The faults so far.
    pub damage: Damage,
    rebuilds: Rebuilds,
}

impl Chaos {
    /// Takes over the services, with nothing broken yet.
    pub fn new(
        (postgres, kafka): (Postgres, Kafka),
        instances: Vec<Instance>,
        program: Program,
        api: Arc<Api>,
        payers: Arc<Payers>,
        findings: Arc<Findings>,
    ) -> Self {
        let (damage, rebuilds) = (Damage::default(), Rebuilds::new(&program, &api, &findings));
        Self { postgres, kafka, instances, program, api, findings, payers, damage, rebuilds }
    }

    /// Causes faults until `stop`, each kind at least once however long that takes. At the end
    /// everything is up again. Records must be produced all the while, since a fault counts as over
    /// once records are applied again.
    pub async fn run(&mut self, mut rng: Rng, stop: &CancellationToken) -> Result<(), SoakError> {
        let mut order = KINDS.to_vec();
        rng.shuffle(&mut order);
        let mut due = order.len();
        while due > 0 || !stop.is_cancelled() {
            if order.is_empty() {
                let (mut kinds, mut repeated) = (KINDS, REPEATED);
                rng.shuffle(&mut kinds);
                rng.shuffle(&mut repeated);
                order = [repeated.as_slice(), &kinds].concat(); // taken from its end
            }
            let pause = Duration::from_millis(500 + rng.below(2500));
            if tokio::time::timeout(pause, stop.cancelled()).await.is_ok() && due == 0 {
                break;
            }
            if let Some(fault) = order.pop() {
                self.look_after_instances().await?;
                self.cause(fault, &mut rng).await?;
                due = due.saturating_sub(1);
            }
        }
        self.look_after_instances().await
    }

    /// Waits for the last rebuild.
    pub async fn finish_rebuild(&mut self) -> Result<(), SoakError> {
        self.rebuilds.finish().await
    }

    async fn cause(&mut self, fault: Fault, rng: &mut Rng) -> Result<(), SoakError> {
        tracing::info!("soak: {}", fault.name());
        *self.damage.counts.entry(fault.name()).or_default() += 1;
        let down = Duration::from_millis(rng.below(2000));
        match fault {
            Fault::KillInstance(number) => {
                self.instances[number].kill().await;
                tokio::time::sleep(down).await;
                self.restart_instance(fault, number).await?;
            }
            Fault::StopInstance(number) => {
                let status = self.instances[number].stop().await;
                if !status.is_some_and(|status| status.success()) {
                    let (name, log) =
                        (&self.instances[number].name, self.instances[number].log_tail());
                    let how = status.map_or("not at all".to_owned(), |status| status.to_string());
                    let what = format!("{name} ended with {how}; its log ends with:\n{log}");
                    self.findings.add("SIGTERM without exit 0", what);
                }
                // A static member leaves its group only when its session expires.
                self.wait_for_takeover(number).await?;
                self.restart_instance(fault, number).await?;
            }
            Fault::CrashPostgres => {
                self.rebuilds.excuse_a_crash();
                self.postgres.kill().await?;
                tokio::time::sleep(down).await;
                self.postgres.restart().await?;
                self.wait_until_applied(fault, &[0, 1]).await;
            }
            Fault::KillBroker => {
                self.kafka.kill().await?;
                tokio::time::sleep(down).await;
                self.kafka.restart().await?;
                self.wait_until_applied(fault, &[0, 1]).await;
            }
            Fault::Rebuild(name) => {
                self.rebuilds.finish().await?;
                self.rebuilds.start(name, None);
            }
            Fault::KillRebuild(name) => self.rebuilds.kill_midway(name).await?,
            Fault::SilencePayer => self.silence_payer().await,
        }
        Ok(())
    }

    async fn restart_instance(&mut self, fault: Fault, number: usize) -> Result<(), SoakError> {
        let begun = Instant::now();
        self.instances[number].start()?;
        self.instances[number].ready(&self.api).await?;
        self.wait_from(begun, fault, &[number]).await;
        Ok(())
    }

    async fn wait_until_applied(&mut self, fault: Fault, numbers: &[usize]) {
        self.wait_from(Instant::now(), fault, numbers).await;
    }

    /// Records the time until one of these instances applies a batch.
    async fn wait_from(&mut self, begun: Instant, fault: Fault, numbers: &[usize]) {
        let mut first = BTreeMap::new();
        while begun.elapsed() < APPLIED_MAX {
            for number in numbers {
                let Some(applied) = self.batches_applied(*number).await else { continue };
                // A restarted process counts batches from 0; an instance that kept running must
                // exceed its present count.
                let base = *first.entry(*number).or_insert_with(|| match fault {
                    Fault::KillInstance(_) | Fault::StopInstance(_) => 0,
                    _ => applied,
                });
                if applied > base {
                    let seconds = begun.elapsed().as_secs_f64();
                    self.damage.until_applied.entry(fault.name()).or_default().push(seconds);
                    return;
                }
            }
            tokio::time::sleep(GLANCE).await;
        }
        let logs: Vec<String> = numbers.iter().map(|n| self.instances[*n].log_tail()).collect();
        let (name, seconds) = (fault.name(), APPLIED_MAX.as_secs());
        let what =
            format!("{name}: nothing in {seconds} s; the logs end with:\n{}", logs.join("\n"));
        self.findings.add("nothing applied after a restart", what);
    }

    async fn batches_applied(&self, number: usize) -> Option<u64> {
        let (_, metrics) = self.api.probe(number, "/metrics").await.ok()?;
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix("plaudit_ingest_batch_seconds_count "));
        Some(count.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
    }

    /// Restarts instances that have ended by themselves, and records each as a finding.
    async fn look_after_instances(&mut self) -> Result<(), SoakError> {
        for instance in &mut self.instances {
            if let Some(status) = instance.ended_by_itself() {
                let what = format!(
                    "{} ended with {status}; its log ends with:\n{}",
                    instance.name,
                    instance.log_tail()
                );
                self.findings.add("serve ended unasked", what);
                instance.kill().await;
                instance.start()?;
                instance.ready(&self.api).await?;
            }
        }
        Ok(())
    }

    /// Kills all processes and removes their data.
    pub async fn discard(mut self) -> Result<(), SoakError> {
        self.rebuilds.abort();
        for instance in &mut self.instances {
            instance.kill().await;
        }
        self.kafka.discard().await?;
        self.postgres.discard().await?;
        Ok(())
    }
}
