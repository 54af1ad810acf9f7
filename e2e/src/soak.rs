//! The soak: traffic for some minutes, while every part is killed in turn. Then the books must
//! balance.
//!
//! It runs its own PostgreSQL and Kafka, since it kills them, and two `plaudit serve` in one
//! consumer group. A stock producer sends the actions of some thousand users, with duplicates,
//! garbage and late records. Clients read screens and claim rewards. [`payers`] fail, answer late,
//! twice, or not at all. In the end, every user's screen and rewards, the topic of rewards, the
//! payments and the parked records are compared with an [`oracle`] that folds the produced records
//! by itself.

mod action;
mod books;
mod chaos;
mod clients;
mod error;
mod findings;
mod http;
mod instance;
mod oracle;
mod payers;
mod producer;
mod program;
mod rng;
mod stage;
mod summary;
mod tasks;
mod traffic;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use plaudit_embedded::ScratchDir;
use tokio_util::sync::CancellationToken;

pub use error::SoakError;
pub use program::beside;
pub use summary::Verdict;

use books::{Audit, Compared};
use chaos::Chaos;
use clients::Clients;
use findings::Findings;
use producer::{Producer, Sent};
use rng::Rng;
use traffic::{Meaning, Traffic};

/// The topic of actions.
const ACTIONS: &str = "plaudit.actions";
const ACTIONS_PARTITIONS: i32 = 8;
/// The topic of rewards.
const REWARDS: &str = "plaudit.rewards";
const REWARDS_PARTITIONS: i32 = 4;
/// The most receipts that are requested again at the end.
const REPEATS_MAX: usize = 500;

/// The options of a soak.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time for which records are produced.
    pub time: Duration,
    /// Records per second.
    pub rate: u32,
    /// The number of users.
    pub users: u32,
    /// The most changes of zone of a user in the nine days that are played. Plaudit takes 64
    /// changes within 800 days as they come, and a further one only 25 days after the last; the oracle
    /// does not know that rule.
    pub zones_max: u32,
    /// Repeats the traffic and the order of faults.
    pub seed: u64,
    /// The program under test.
    pub plaudit: PathBuf,
    /// The folder to which the logs of the processes are copied, with the records of users whose
    /// books differ. If absent, they are removed with all other files.
    pub keep_logs: Option<PathBuf>,
}

/// Returns a seed from the clock, for a run without a given one.
pub fn seed_of_now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(1)
}

/// Runs a soak to its end or until `stop`. Leaves no processes and no files.
pub async fn run(options: &Options, stop: &CancellationToken) -> Result<Verdict, SoakError> {
    let begun = Instant::now();
    let scratch = ScratchDir::create("soak")?;
    let findings = Arc::new(Findings::default());
    let mut chaos = tokio::select! {
        chaos = stage::set(options, scratch.path(), &findings) => chaos?,
        () = stop.cancelled() => return Err(SoakError::Interrupted),
    };
    let outcome = tokio::select! {
        outcome = play(options, &mut chaos, begun) => outcome,
        () = stop.cancelled() => Err(SoakError::Interrupted),
    };
    let discarded = chaos.discard().await;
    if let Some(keep) = &options.keep_logs {
        stage::keep_logs(scratch.path(), keep)?;
    }
    let verdict = outcome?;
    if let Some(keep) = &options.keep_logs {
        let what = SoakError::io("keep the records of users with differences");
        std::fs::write(keep.join("differing.txt"), &verdict.histories).map_err(what)?;
    }
    discarded?;
    Ok(verdict)
}

/// Runs traffic, faults and clients together, then the comparison.
async fn play(options: &Options, chaos: &mut Chaos, begun: Instant) -> Result<Verdict, SoakError> {
    let since = jiff::Timestamp::now();
    let mut phases = vec![("set up", begun.elapsed())];
    let mut end_of = |phase| phases.push((phase, begun.elapsed()));
    let records = u64::from(options.rate) * options.time.as_secs();
    let traffic = Traffic::new(options.seed, options.users, options.zones_max, records);
    let (api, findings) = (Arc::clone(&chaos.api), Arc::clone(&chaos.findings));
    let clients = Clients::new(Arc::clone(&api), traffic.user_names(), Arc::clone(&findings));
    let (time_is_over, no_more_records) = (CancellationToken::new(), CancellationToken::new());
    let no_more_clients = CancellationToken::new();
    let visits = clients.start(options.seed, &no_more_clients);
    let producer = Producer::new(&chaos.kafka.brokers())?;
    let producing = producer.run(traffic, options, &time_is_over, &no_more_records);
    // Records go on until the last fault is over, which shows when they are applied again.
    let breaking = async {
        chaos.run(Rng::new(options.seed, 2), &time_is_over).await?;
        no_more_records.cancel();
        Ok(())
    };
    let ((traffic, sents), ()) = tokio::try_join!(producing, breaking)?;
    chaos.finish_rebuild().await?;
    chaos.payers.behave();
    end_of("all up again");
    no_more_clients.cancel();
    visits.join_all().await;

    let (claimed, claimed_at) = {
        let hands = clients.hands();
        (hands.claimed.clone(), hands.claimed_at())
    };
    let audit = Arc::new(Audit {
        api,
        program: chaos.program.clone(),
        findings: Arc::clone(&findings),
        brokers: chaos.kafka.brokers(),
        books: oracle::fold(in_order(&sents)?.into_iter()),
        claimed,
        claimed_at,
        payers: Arc::clone(&chaos.payers),
        since,
        differing: Mutex::default(),
    });
    let drained = audit.drained(&sents).await?;
    end_of("drained");
    let claims: Vec<_> = clients.hands().claims.iter().take(REPEATS_MAX).cloned().collect();
    for claim in &claims {
        clients.must_repeat(claim, true).await;
    }
    let compared: Compared = audit.compare(&sents).await?;
    end_of("compared");
    let damage = std::mem::take(&mut chaos.damage);
    let summary = summary::Summary {
        seed: options.seed,
        records: sents.len(),
        counts: traffic.counts,
        met: oracle::met(&audit.books),
        damage,
        payers: chaos.payers.met(),
        program: chaos.program.described().await?,
        drained,
        phases,
        compared,
        hands: std::mem::take(&mut *clients.hands()),
    };
    let histories = audit.histories(&sents);
    Ok(Verdict { summary, findings, histories })
}

/// Returns the actions in the order of the log: by partition, then by offset.
fn in_order(sents: &[Sent]) -> Result<Vec<&action::Action>, SoakError> {
    let mut placed = Vec::with_capacity(sents.len());
    for sent in sents {
        let missing = || SoakError::Broken("a record's place was never reported".to_owned());
        let place = sent.place.ok_or_else(missing)?;
        if let Meaning::Action(action) = &sent.meaning {
            placed.push((place, action));
        }
    }
    placed.sort_by_key(|(place, _)| *place);
    Ok(placed.into_iter().map(|(_, action)| action.as_ref()).collect())
}
