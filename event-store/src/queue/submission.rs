//! Submissions: their items are applied in several transactions and answered together.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::batch::{Answer, Applied, Kind};
use crate::error::ExecuteError;

type Answers<A> = Result<Vec<Applied<A>>, Arc<ExecuteError>>;

/// The answers to a submission, to be awaited: one per item, in order, or the error of the first
/// item that failed. Dropping it gives up the items that no worker has taken yet, except Kafka
/// records.
#[derive(Debug)]
pub struct Submission<K: Kind> {
    answers: oneshot::Receiver<Answers<Answer>>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Future for Submission<K> {
    type Output = Answers<K::Answer>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let stopped = || Arc::new(ExecuteError::Unavailable(sqlx::Error::PoolClosed));
        Pin::new(&mut self.answers).poll(context).map(|answers| {
            let applied = answers.unwrap_or_else(|_| Err(stopped()))?;
            Ok(applied.into_iter().map(Applied::own::<K>).collect())
        })
    }
}

/// The place of one item in its submission's answer.
pub(super) struct Slot {
    shared: Arc<Mutex<Unanswered>>,
    index: usize,
}

struct Unanswered {
    applied: Vec<Option<Applied>>,
    left: usize,
    error: Option<Arc<ExecuteError>>,
    sender: Option<oneshot::Sender<Answers<Answer>>>,
    /// A value kept with the items. Dropped with the last slot, or just before the answer is sent.
    held: Option<Box<dyn Send>>,
}

/// Begins a submission of `items` items, which keeps `held` until the last one is done.
pub(super) fn begin<K: Kind>(
    items: usize,
    held: impl Send + 'static,
) -> (Vec<Slot>, Submission<K>) {
    let (sender, answers) = oneshot::channel();
    let mut unanswered = Unanswered {
        applied: vec![None; items],
        left: items,
        error: None,
        sender: Some(sender),
        held: Some(Box::new(held)),
    };
    if items == 0 {
        unanswered.finish();
    }
    let shared = Arc::new(Mutex::new(unanswered));
    let slots = (0..items).map(|index| Slot { shared: Arc::clone(&shared), index }).collect();
    (slots, Submission { answers, kind: PhantomData })
}

impl Slot {
    pub fn answer(self, applied: Applied) {
        self.settle(|unanswered, index| unanswered.applied[index] = Some(applied));
    }

    pub fn fail(self, error: &Arc<ExecuteError>) {
        self.settle(|unanswered, _| {
            unanswered.error.get_or_insert_with(|| Arc::clone(error));
        });
    }

    /// True if nobody waits for the answer any more.
    pub fn is_abandoned(&self) -> bool {
        let unanswered = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        unanswered.sender.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    fn settle(self, note: impl FnOnce(&mut Unanswered, usize)) {
        let mut unanswered = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        note(&mut unanswered, self.index);
        unanswered.left -= 1;
        if unanswered.left == 0 {
            unanswered.finish();
        }
    }
}

impl Unanswered {
    fn finish(&mut self) {
        let Some(sender) = self.sender.take() else { return };
        let answer = match self.error.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.applied).into_iter().flatten().collect()),
        };
        // Dropped before the answer, so that its receiver finds the capacity free.
        self.held = None;
        // The receiver may be gone; the items are applied all the same.
        let _ = sender.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Work;

    #[test]
    fn what_goes_with_the_items_is_held_until_the_last_one_is_gone() {
        let held = Arc::new(());
        let (mut slots, submission) = begin::<Work>(2, Arc::clone(&held));
        drop(submission);
        assert!(slots[0].is_abandoned());
        drop(slots.pop());
        assert_eq!(Arc::strong_count(&held), 2, "an item still waits in its lane");
        drop(slots.pop());
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
