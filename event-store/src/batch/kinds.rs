//! The kinds of work, each with its answer. This is the only list of both: a kind that the executor
//! does not decide, or decides with the answer of another kind, does not compile.

use super::answers::{
    ActionAnswer, ClaimAnswer, ClaimedAll, HandAnswer, NotApplied, PastAnswer, RedeliverAnswer,
    ReleaseAnswer, ResolveAnswer, Settled, StartedDeliveries,
};
use super::work::{
    ByHand, Claim, ClaimAll, CountPast, Incoming, Redeliver, ReleaseBackfill, ResolveParked,
    Settle, SettleBackfills, SettleDeliveries, StartDeliveries,
};
use super::{Applied, Batch, Item};

/// A kind of work, with the type of its answers.
pub trait Kind: Clone + Into<Work> + sealed::Sealed {
    /// The answer to work of this kind.
    type Answer;

    /// Returns the answer to work of this kind as its own type.
    #[doc(hidden)]
    fn own(answer: Answer) -> Self::Answer;
}

/// Decides work of one kind. `item` is the item that holds `work`.
pub(crate) trait Decide<'b, K: Kind> {
    fn answer(&mut self, item: &'b Item, work: &'b K) -> K::Answer;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! kinds {
    ($($kind:ident => $answer:ty,)+) => {
        /// Work of any kind, for batches that mix kinds. A batch of one kind has answers of that
        /// kind instead.
        #[derive(Debug, Clone)]
        pub enum Work {
            /// An action, or a record to park.
            Incoming(Incoming),
            $(
                #[doc = concat!("See [`", stringify!($kind), "`].")]
                $kind($kind),
            )+
        }

        /// The answer to work of any kind. The variant is that of the work.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Answer {
            /// The answer to an action, or to a record to park.
            Incoming(ActionAnswer),
            $(
                #[doc = concat!("The answer to [`", stringify!($kind), "`].")]
                $kind(Result<$answer, NotApplied>),
            )+
        }

        impl Work {
            /// Decides an item by the rules of its kind.
            pub(crate) fn decide<'b, D>(item: &'b Item, decider: &mut D) -> Answer
            where
                D: Decide<'b, Incoming> $(+ Decide<'b, $kind>)+,
            {
                match &item.work {
                    Self::Incoming(work) => {
                        Answer::Incoming(<D as Decide<'b, Incoming>>::answer(decider, item, work))
                    }
                    $(
                        Self::$kind(work) => {
                            Answer::$kind(<D as Decide<'b, $kind>>::answer(decider, item, work))
                        }
                    )+
                }
            }

            /// Returns the answer to work that can't be applied, or what came in: it is parked
            /// instead.
            pub(crate) fn not_applied(&self, why: NotApplied) -> Result<Answer, &Incoming> {
                match self {
                    Self::Incoming(incoming) => Err(incoming),
                    $(Self::$kind(_) => Ok(Answer::$kind(Err(why))),)+
                }
            }
        }

        kind!(Incoming => ActionAnswer);
        $(kind!($kind => Result<$answer, NotApplied>);)+
    };
}

macro_rules! kind {
    ($kind:ident => $answer:ty) => {
        impl sealed::Sealed for $kind {}

        impl From<$kind> for Work {
            fn from(work: $kind) -> Self {
                Self::$kind(work)
            }
        }

        impl Kind for $kind {
            type Answer = $answer;

            fn own(answer: Answer) -> $answer {
                match answer {
                    Answer::$kind(answer) => answer,
                    // `Work::decide` and `Work::not_applied` answer in the variant of the work.
                    other => unreachable!("{} was answered with {other:?}", stringify!($kind)),
                }
            }
        }
    };
}

kinds! {
    CountPast => PastAnswer,
    SettleBackfills => (),
    ReleaseBackfill => ReleaseAnswer,
    Claim => ClaimAnswer,
    ClaimAll => ClaimedAll,
    ByHand => HandAnswer,
    StartDeliveries => StartedDeliveries,
    SettleDeliveries => (),
    Redeliver => RedeliverAnswer,
    Settle => Settled,
    ResolveParked => ResolveAnswer,
}

impl sealed::Sealed for Work {}

impl Kind for Work {
    type Answer = Answer;

    fn own(answer: Answer) -> Answer {
        answer
    }
}

impl<K: Kind> Item<K> {
    /// The same item for a batch that mixes kinds.
    pub fn mixed(self) -> Item {
        Item { lane: self.lane, work: self.work.into(), origin: self.origin }
    }
}

impl<K: Kind> Batch<K> {
    pub(crate) fn mixed(&self) -> Batch {
        let items = self.items.iter().cloned().map(Item::mixed).collect();
        Batch { items, checkpoints: self.checkpoints.clone() }
    }
}

impl Applied {
    /// The same with the answer in the type of its kind.
    pub(crate) fn own<K: Kind>(self) -> Applied<K::Answer> {
        Applied { answer: K::own(self.answer), position: self.position }
    }
}
