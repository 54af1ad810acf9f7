//! The soak: traffic for some minutes, while everything is killed in turn; then the books must
//! balance.
//!
//! It owns a PostgreSQL and a Kafka of its own, since it kills them, and runs two `plaudit serve` of
//! one consumer group. A stock producer sends actions of some thousand users, with duplicates,
//! garbage and latecomers; clients read screens and claim rewards; [`payers`] fail, answer late, twice,
//! or not at all. In the end every user's screen and rewards, the topic of rewards, what was paid and
//! the parked records are compared with an [`oracle`] that folds the produced records by itself.

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

/// Where actions come from.
const ACTIONS: &str = "plaudit.actions";
const ACTIONS_PARTITIONS: i32 = 8;
/// Where rewards go to.
const REWARDS: &str = "plaudit.rewards";
const REWARDS_PARTITIONS: i32 = 4;
/// Of the receipts that were given, how many are asked for again in the end.
const REPEATS_MAX: usize = 500;

/// How a soak runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long records are produced.
    pub time: Duration,
    /// Records a second.
    pub rate: u32,
    /// Users.
    pub users: u32,
    /// Zones that a user tells at most in the nine days that are played. Plaudit remembers 64
    /// changes within a hundred days; beyond that it may judge periods by a boundary that moved.
    pub zones_max: u32,
    /// Repeats the traffic and the order of faults.
    pub seed: u64,
    /// The program under test.
    pub plaudit: PathBuf,
    /// Where the logs of the processes are kept, and the records of users whose books differ; else
    /// they go with all the rest.
    pub keep_logs: Option<PathBuf>,
}

/// A seed for who names none.
pub fn seed_of_now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(1)
}

/// Runs a soak to its end, or until `stop`. Leaves nothing running and no files.
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
        std::fs::write(keep.join("suspects.txt"), &verdict.histories).map_err(what)?;
    }
    discarded?;
    Ok(verdict)
}

/// Traffic, faults and clients at once, then the comparison.
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
    // Records go on until the last fault is over: by them it is seen to be.
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
        suspects: Mutex::default(),
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

/// The actions in the order of the log: by partition, then by offset.
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
