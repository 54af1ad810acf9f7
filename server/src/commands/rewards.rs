//! `plaudit rewards`.

mod by_hand;
mod endpoint;
mod reconcile;

use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;
use plaudit_domain::catalogue::definition::Payout;
use plaudit_domain::user_tasks::RewardState;
use plaudit_event_store::catalogue_store::{Author, CatalogueStore};
use plaudit_event_store::deliveries::{
    self, Attempt, Filter, GrantEntry, GrantList, GrantReport, PayerRoutes,
};
use plaudit_event_store::operations::{self, OperationKind};
use plaudit_event_store::{Batch, Executor, Item, Origin, Redeliver, RedeliverAnswer};
use plaudit_release::Operator;
use sqlx::PgPool;
use uuid::Uuid;

use crate::cli::{FormatKind, RewardsCommand};
use crate::commands::corrections::Why;
use crate::commands::serve;
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{count, errln, outln};
use crate::{operator, startup};

/// Number of grants that are read or redelivered at once.
const PAGE: usize = 500;

/// Runs `plaudit rewards`.
pub async fn run(config: &Config, command: RewardsCommand) -> Result<ExitCode, Failure> {
    match command {
        RewardsCommand::TestEndpoint { url, secret, allow_private } => {
            endpoint::test(config, &url, secret.as_deref(), allow_private).await
        }
        RewardsCommand::List { state, code, after, limit, format } => {
            let state = state.as_deref().map(state_named).transpose()?;
            let filter =
                Filter { state, code, after, limit: usize::from(limit), ..Filter::default() };
            list(&startup::checked_database(config).await?.0, &filter, format.format).await
        }
        RewardsCommand::Show { grant, format } => {
            show(&startup::checked_database(config).await?.0, grant, format.format).await
        }
        RewardsCommand::Redeliver { grants, failed: false, to_new_payer, reason, .. } => {
            let again = Again::start(config, reason, false, to_new_payer).await?;
            again.of_grants(&grants).await
        }
        RewardsCommand::Redeliver { code, kind, channel, since, to_new_payer, reason, .. } => {
            let again = Again::start(config, reason, false, to_new_payer).await?;
            let state = Some(RewardState::Failed);
            let queued_since = since;
            let filter = Filter { state, kind, code, channel, queued_since, ..Filter::default() };
            again.record(OperationKind::RedeliverMany, &subject(&filter)).await?;
            again.of_all(filter, |_| true).await
        }
        RewardsCommand::Resync { since, delivered, to_new_payer, reason } => {
            let again = Again::start(config, reason, delivered, to_new_payer).await?;
            let is_due = move |entry: &GrantEntry| entry.is_in_doubt_since(since, delivered);
            again.record(OperationKind::Resync, &format!("since={since}")).await?;
            let filter = Filter { is_undelivered: !delivered, ..Filter::default() };
            again.of_all(filter, is_due).await
        }
        RewardsCommand::Grant {
            user,
            kind,
            code,
            amount,
            line,
            idempotency_key,
            reason,
            format,
        } => {
            let line = line.or(idempotency_key);
            let payout = by_hand::checked(Payout { kind, code, amount }, line.as_deref())?;
            let why = Why::new(&reason, None)?;
            by_hand::grant(config, &user, payout, line, &why, format.format).await
        }
        RewardsCommand::Revoke { grants, whole_milestone, reason } => {
            let why = Why::new(&reason, None)?;
            by_hand::revoke(config, &grants, whole_milestone, &why).await
        }
        RewardsCommand::Reconcile { from, until, against, format } => {
            let payments = against.as_deref().map(reconcile::payments).transpose()?;
            let (pool, _) = startup::checked_database(config).await?;
            let channels = serve::channels(config)?;
            reconcile::run(&pool, (from, until), payments, &channels, format.format).await
        }
    }
}

/// Describes the filter of a redelivery, in one line.
fn subject(filter: &Filter) -> String {
    let fields = [
        ("state", filter.state.map(|state| state.as_str().to_owned())),
        ("kind", filter.kind.clone()),
        ("code", filter.code.clone()),
        ("channel", filter.channel.clone()),
        ("since", filter.queued_since.map(|at| at.to_string())),
    ];
    let named = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    named.collect::<Vec<_>>().join(" ")
}

fn state_named(name: &str) -> Result<RewardState, Failure> {
    name.parse().map_err(|_| {
        let known: Vec<&str> = RewardState::ALL.iter().map(|state| state.as_str()).collect();
        Failure::new(format!("unknown state {name:?}; one of: {}", known.join(", ")))
    })
}

async fn list(pool: &PgPool, filter: &Filter, format: FormatKind) -> Result<ExitCode, Failure> {
    let page = startup::answer(deliveries::list(pool, filter)).await?;
    let page = page.ok_or_else(|| Failure::new("unknown grant in --after"))?;
    let page = GrantList::from(page);
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&page)?);
        return Ok(ExitCode::SUCCESS);
    }
    let grants = page.grants;
    for grant in &grants {
        let reason = shown(grant.reason.as_deref().unwrap_or_default());
        outln!("{}", format!("{}  {reason}", in_short(grant)).trim_end());
    }
    match page.next {
        Some(next) => outln!("{} shown; next page: --after {next}", grants.len()),
        None => outln!("{}", count(grants.len(), "grant")),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_short(grant: &GrantReport) -> String {
    let GrantReport { grant: id, state, user, task, period, kind, code, amount, .. } = grant;
    format!("{id}  {state:<10}  {user}  {task} {period}  {amount} {kind}/{code}")
}

async fn show(pool: &PgPool, grant: Uuid, format: FormatKind) -> Result<ExitCode, Failure> {
    let found = startup::answer(deliveries::find(pool, grant)).await?;
    let entry = found.ok_or_else(|| Failure::new(format!("unknown grant {grant}")))?;
    let report = GrantReport::from(entry);
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    outln!("{}", in_short(&report));
    outln!(
        "granted     {} by milestone {}, line {}",
        report.granted_at,
        report.milestone,
        report.line
    );
    for delivery in &report.deliveries {
        let role = if delivery.pays { "to the payer" } else { "a copy" };
        outln!(
            "channel     {}, {role}: {} since {}",
            delivery.channel,
            delivery.state,
            delivery.queued_at
        );
        for (name, at) in [("next at", delivery.due_at), ("given up", delivery.give_up_at)] {
            if let Some(at) = at {
                outln!("  {name:<10}{at}");
            }
        }
        if let Some(reason) = &delivery.reason {
            outln!("  reason    {}", shown(reason));
        }
        let hidden = usize::try_from(delivery.attempts).unwrap_or_default();
        let hidden = hidden.saturating_sub(delivery.attempted.len());
        if hidden > 0 {
            outln!("  {} before these", count(hidden, "attempt"));
        }
        for Attempt { at, duration_ms, status, error, answer } in &delivery.attempted {
            let status = status.map_or_else(|| "-".to_owned(), |status| status.to_string());
            let error = shown(error.as_deref().unwrap_or_default());
            outln!("{}", format!("  {at}  {duration_ms} ms  {status}  {error}").trim_end());
            if let Some(answer) = answer {
                outln!("    answer  {}", shown(answer));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Formats a payer's text for a terminal: control characters are escaped.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// Requests redeliveries of grants.
struct Again {
    pool: PgPool,
    executor: Arc<Executor>,
    reason: String,
    by: String,
    even_if_delivered: bool,
    to_new_payer: bool,
    routes: PayerRoutes,
}

impl Again {
    async fn start(
        config: &Config,
        reason: String,
        even_if_delivered: bool,
        to_new_payer: bool,
    ) -> Result<Self, Failure> {
        let reason = Operator::checked_reason(&reason)?;
        let (pool, lane_count) = startup::checked_database(config).await?;
        let catalogue = Arc::new(CatalogueStore::default());
        startup::answer(catalogue.newest(&pool)).await?;
        let executor = startup::executor(&startup::writers(config, 1)?, lane_count, &catalogue);
        let routes = serve::channels(config)?.routes();
        let by = operator::name();
        Ok(Self { pool, executor, reason, by, even_if_delivered, to_new_payer, routes })
    }

    /// Records an operation on many users. One on a single user is in that user's history.
    async fn record(&self, kind: OperationKind, subject: &str) -> Result<(), Failure> {
        let author = Author { by: self.by.clone(), reason: Some(self.reason.clone()) };
        startup::answer(operations::record(kind, subject, &author, &self.pool)).await
    }

    async fn of_grants(&self, grants: &[Uuid]) -> Result<ExitCode, Failure> {
        let (mut entries, mut all_found) = (Vec::new(), true);
        for grant in grants {
            match startup::answer(deliveries::find(&self.pool, *grant)).await? {
                Some(entry) => entries.push(entry),
                None => {
                    errln!("unknown grant {grant}");
                    all_found = false;
                }
            }
        }
        let mut sent = 0;
        for page in entries.chunks(PAGE) {
            sent += self.send(page).await?;
        }
        outln!("{} will be delivered again", count(sent, "grant"));
        let all_sent = all_found && sent == grants.len();
        Ok(if all_sent { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn of_all(
        &self,
        mut filter: Filter,
        is_selected: impl Fn(&GrantEntry) -> bool,
    ) -> Result<ExitCode, Failure> {
        filter.limit = PAGE;
        let (mut sent, mut selected) = (0, 0);
        loop {
            let page = startup::answer(deliveries::list(&self.pool, &filter)).await?;
            let page = page.ok_or_else(|| {
                Failure::new("a grant disappeared from the list; run the command again")
            })?;
            let entries: Vec<_> = page.grants.into_iter().filter(&is_selected).collect();
            selected += entries.len();
            sent += self.send(&entries).await?;
            match page.next {
                Some(next) => filter.after = Some(next),
                None => break,
            }
        }
        outln!("{} will be delivered again", count(sent, "grant"));
        Ok(if sent == selected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Requests the redelivery of some grants. Returns the number of those that will be delivered
    /// again.
    async fn send(&self, entries: &[GrantEntry]) -> Result<usize, Failure> {
        let is_allowed = |entry: &&GrantEntry| match entry.new_payer(&self.routes) {
            Some(refusal) if !self.to_new_payer => {
                errln!("{refusal}");
                false
            }
            _ => true,
        };
        let entries: Vec<&GrantEntry> = entries.iter().filter(is_allowed).collect();
        if entries.is_empty() {
            return Ok(0);
        }
        let item = |entry: &&GrantEntry| Item {
            lane: entry.lane,
            work: Redeliver {
                user: entry.user.clone(),
                grant: entry.row.reward.grant,
                by: self.by.clone(),
                reason: self.reason.clone(),
                at: Timestamp::now(),
                even_if_delivered: self.even_if_delivered || entry.has_failed_again(),
                keeps_payer: !self.to_new_payer,
            },
            origin: Origin::Request(Uuid::now_v7()),
        };
        let batch = Batch { items: entries.iter().map(item).collect(), checkpoints: vec![] };
        let mut sent = 0;
        let applied = startup::answer(Box::pin(self.executor.execute(&batch))).await?;
        for (entry, applied) in entries.iter().zip(applied) {
            match applied.answer {
                Ok(RedeliverAnswer::Accepted) => sent += 1,
                Ok(RedeliverAnswer::Rejected(why)) => errln!("{why}"),
                Err(why) => errln!("{}: {why}", entry.row.reward.grant),
            }
        }
        Ok(sent)
    }
}
