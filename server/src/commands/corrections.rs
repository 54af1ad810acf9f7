//! Manual corrections of a user's progress and grants. Used by `plaudit tasks` and
//! `plaudit rewards`.

use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_domain::user_tasks::{Change, Correction, HandCommand, Rejection, Reward, Seed};
use plaudit_event_store::catalogue_store::CatalogueStore;
use plaudit_event_store::hand_answers::{CorrectedProgress, RestoredStreak};
use plaudit_event_store::states::truncate_to_micros;
use plaudit_event_store::{ByHand, Executor, HandAnswer, HandReceipt, Item, Origin, RequestKey};
use plaudit_release::Operator;
use uuid::Uuid;

use crate::cli::FormatKind;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::outln;
use crate::{operator, startup};

/// Makes corrections in the database, without a server.
pub struct Corrector {
    executor: Arc<Executor>,
    lane_count: LaneCount,
}

/// The reason of a change, and the key by which a repeat is recognised.
#[derive(Debug, Clone)]
pub struct Why {
    /// Kept in the user's history.
    pub reason: String,
    /// Repeats with the same key make the change once; without a key each call makes it.
    pub idempotency_key: Option<String>,
}

impl Why {
    /// Checks the reason.
    pub fn new(reason: &str, idempotency_key: Option<String>) -> Result<Self, Failure> {
        let reason = Operator::checked_reason(reason)?;
        Ok(Self { reason, idempotency_key })
    }
}

impl Corrector {
    /// Opens the configured database.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        let (pool, lane_count) = startup::checked_database(config).await?;
        let catalogue = Arc::new(CatalogueStore::default());
        startup::answer(catalogue.newest(&pool)).await?;
        let executor = startup::executor(&startup::writers(config, 1)?, lane_count, &catalogue);
        Ok(Self { executor, lane_count })
    }

    /// Makes a change. The inner error is a refusal by the rules.
    pub async fn correct(
        &self,
        user: &UserId,
        (change, revoked): (Change, Option<Reward>),
        why: &Why,
    ) -> Result<Result<HandReceipt, Rejection>, Failure> {
        let request = Uuid::now_v7();
        let about = match &change {
            Change::Revoke { grant, .. } => grant.to_string(),
            other => other.task().map(TaskId::to_string).unwrap_or_default(),
        };
        let key = RequestKey {
            user: user.clone(),
            operation: format!("{} {about}", change.name()).trim_end().to_owned(),
            key: why.idempotency_key.clone().unwrap_or_else(|| request.to_string()),
        };
        let correction = Correction {
            user: user.clone(),
            change,
            by: operator::name(),
            reason: why.reason.clone(),
            at: truncate_to_micros(Timestamp::now()),
            seed: Seed(Uuid::new_v4().as_u64_pair().0),
        };
        let command = Box::new(HandCommand::Correct(correction));
        let item = Item {
            lane: Lane::of(user.as_str(), self.lane_count),
            work: ByHand { key, command, revoked: revoked.map(Box::new) },
            origin: Origin::Request(request),
        };
        let applied = startup::answer(Box::pin(self.executor.execute_one(item))).await?;
        match applied.answer {
            Ok(HandAnswer::Changed(receipt)) => Ok(Ok(receipt)),
            Ok(HandAnswer::Rejected(rejection)) => Ok(Err(rejection)),
            Err(why) => Err(Failure::new(format!("nothing was changed: {why}"))),
        }
    }
}

/// The error for a stored receipt of a different change than its key names.
pub fn other_change() -> Failure {
    Failure::new(
        "the stored receipt belongs to a different change; repeat the command with another key",
    )
}

/// Prints the progress of a period after a correction.
pub fn print_progress(answer: &CorrectedProgress, format: FormatKind) -> Result<ExitCode, Failure> {
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let CorrectedProgress { task, period, credited, progress, target, milestones, .. } = answer;
    outln!("{task} {period}: {progress} of {target} ({credited:+})");
    for milestone in milestones {
        outln!("reached milestone {milestone}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a streak after a period was filled.
pub fn print_restored(answer: &RestoredStreak, format: FormatKind) -> Result<ExitCode, Failure> {
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(answer)?);
        return Ok(ExitCode::SUCCESS);
    }
    let RestoredStreak { task, period, current, longest, milestones, .. } = answer;
    outln!("{task} {period}: filled, streak {current}, longest {longest}");
    for milestone in milestones {
        outln!("reached milestone {milestone}");
    }
    Ok(ExitCode::SUCCESS)
}
