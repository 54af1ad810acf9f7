//! The follower that queues deliveries of payable grants and redeliveries, and settles deliveries
//! that payers or operators have decided about.

mod page;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use plaudit_event_store::pool::Borrowed;
use plaudit_event_store::reader::Unreadable;
use plaudit_event_store::{CheckpointMove, ExecuteError, deliveries, move_checkpoints};
use plaudit_followers::bounded::{CALL_MAX, begin, within};
use plaudit_followers::{FollowerHealth, Handler, LaneOutcome, Skipped, Span};
use sqlx::PgPool;

use crate::FOLLOWER;
use crate::senders::Senders;
use page::LanePage;

/// Error of a round, which then queued nothing.
#[derive(Debug, thiserror::Error)]
enum OutboxError {
    #[error("rewards can't be read from the log: {0}")]
    Read(#[from] sqlx::Error),
    #[error("deliveries can't be stored: {0}")]
    Store(#[from] ExecuteError),
}

/// Queues deliveries and wakes their senders.
pub struct Outbox {
    pub pool: PgPool,
    pub health: Arc<FollowerHealth>,
    pub senders: Arc<Senders>,
}

#[async_trait]
impl Handler for Outbox {
    async fn handle(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, String> {
        self.round(spans).await.map_err(|error| {
            metrics::counter!("plaudit_delivery_failures_total").increment(1);
            error.to_string()
        })
    }

    /// Waits for the senders: the lanes are given back afterwards, and another process sends from
    /// them at once.
    async fn close(&mut self) {
        self.senders.ended().await;
    }
}

impl Outbox {
    async fn round(&mut self, spans: &[Span]) -> Result<Vec<LaneOutcome>, OutboxError> {
        let mut pages = page::read(spans, self.senders.channels(), &self.pool).await?;
        let unreadable: Vec<Unreadable> =
            pages.iter_mut().flat_map(|page| std::mem::take(&mut page.unreadable)).collect();
        self.note_unreadable(&unreadable).await?;
        let mut outcomes = BTreeMap::new();
        let mut due = Vec::new();
        for page in &pages {
            let (lane, up_to) = (page.span.lane, page.up_to);
            let is_stored = !page.is_empty() || page.span.is_store_due;
            outcomes.insert(lane, LaneOutcome::Handled { lane, up_to, is_stored });
            if is_stored {
                due.push(page);
            }
        }
        match self.store(&due).await {
            // An item that can't be stored holds up its own lane only.
            Err(error) if error.is_about_an_item() && due.len() > 1 => {
                for page in &due {
                    match self.store(&[page]).await {
                        Err(error) if error.is_about_an_item() => {
                            let lane = page.span.lane;
                            let reason = format!(
                                "rewards of lane {lane} are not delivered, and are tried again: {error}"
                            );
                            outcomes.insert(lane, LaneOutcome::Failed { lane, reason });
                        }
                        stored => stored?,
                    }
                }
            }
            stored => stored?,
        }
        if pages.iter().any(|page| !page.payable.is_empty() || !page.again.is_empty()) {
            self.senders.wake();
        }
        Ok(pages.iter().filter_map(|page| outcomes.remove(&page.span.lane)).collect())
    }

    /// Stores pages and checkpoints in one transaction.
    async fn store(&self, pages: &[&LanePage]) -> Result<(), ExecuteError> {
        if pages.is_empty() {
            return Ok(());
        }
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            let mut tx = begin(&mut connection).await?;
            let payable: Vec<_> =
                pages.iter().flat_map(|page| page.payable.iter().cloned()).collect();
            deliveries::queue(&payable, &mut tx).await?;
            let again: Vec<_> = pages.iter().flat_map(|page| page.again.iter().cloned()).collect();
            deliveries::queue_again(&again, &mut tx).await?;
            let settled: Vec<_> =
                pages.iter().flat_map(|page| page.settled.iter().cloned()).collect();
            deliveries::settle(&settled, &mut tx).await?;
            let acknowledged: Vec<_> =
                pages.iter().flat_map(|page| page.acknowledged.iter().cloned()).collect();
            deliveries::acknowledge_again(&acknowledged, &mut tx).await?;
            for page in pages {
                Skipped::forget(FOLLOWER, &page.recovered, &mut tx).await?;
            }
            let moves: Vec<CheckpointMove> =
                pages.iter().map(|page| page.span.checkpoint(FOLLOWER, page.up_to)).collect();
            move_checkpoints(&moves, &mut tx).await?;
            tx.commit().await?;
            connection.give_back();
            Ok::<_, ExecuteError>(())
        };
        within(CALL_MAX, call).await
    }

    /// Reports unreadable events, and stores them before the checkpoint moves past them.
    async fn note_unreadable(&self, events: &[Unreadable]) -> Result<(), OutboxError> {
        if events.is_empty() {
            return Ok(());
        }
        for event in events {
            self.health.user_unreadable(event.position.lane, &event.user, &event.to_string());
        }
        let call = async {
            let mut connection = Borrowed::from(&self.pool).await?;
            Skipped::note(FOLLOWER, events, &mut connection).await?;
            connection.give_back();
            Ok::<_, sqlx::Error>(())
        };
        Ok(within(CALL_MAX, call).await?)
    }
}
