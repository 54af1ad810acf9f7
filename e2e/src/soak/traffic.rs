//! The records that the producers send.
//!
//! The soak plays [`SPAN`] of its users' lives in some minutes: the times of actions run from
//! `SPAN` ago to the start of the soak. So days and weeks end, streaks grow and break, and no
//! action is ever from the future. Only garbage depends on the clock.

mod garbage;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rdkafka::message::OwnedHeaders;

use super::action::{Action, Coins, Deed, UNMEASURABLE, ZONES, user_name};
use super::rng::Rng;

/// The time span of the actions. At least one week begins in it, and a cycle of seven days fits in.
const SPAN: SignedDuration = SignedDuration::from_hours(9 * 24);

/// Sign-ins of a user per day. One day in six then has none.
const SIGN_INS_PER_DAY: f64 = 1.8;

/// A record that is not sent yet.
#[derive(Debug)]
pub struct Draft {
    /// The user, whose id is the record's key.
    pub user: u32,
    /// The record's value.
    pub value: Option<Vec<u8>>,
    /// The record's headers, if it has any.
    pub headers: Option<OwnedHeaders>,
    /// Its meaning for the oracle.
    pub meaning: Meaning,
}

/// The meaning of a record for the oracle.
#[derive(Debug, Clone)]
pub enum Meaning {
    /// An action, perhaps one that was sent before.
    Action(Arc<Action>),
    /// A record that must be parked, with these bytes.
    Parked(Vec<u8>),
}

/// The numbers of unusual records.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Repeats of earlier actions, possibly in the other mode.
    pub duplicates: u64,
    /// Other content under the identity of an earlier action.
    pub imposters: u64,
    /// Records that must be parked.
    pub garbage: u64,
}

/// The source of all records. The same seed, number of users and number of records give the same
/// traffic, except for the times, which end at the start of the soak.
#[derive(Debug)]
pub struct Traffic {
    rng: Rng,
    users: Vec<Life>,
    zones_max: u32,
    begin: Timestamp,
    sign_ins_per_mille: u64,
    history: Vec<Arc<Action>>,
    /// The record to send next: a good one that follows garbage with the same identity.
    next: Option<Draft>,
    last_id: u64,
    /// The numbers of unusual records so far.
    pub counts: Counts,
}

/// The producers' knowledge of a user.
#[derive(Debug, Default, Clone, Copy)]
struct Life {
    /// The latest time of any action so far.
    latest: Option<Timestamp>,
    zone_updated_at: Option<Timestamp>,
    /// The number of changes of zone so far.
    zones: u32,
}

impl Traffic {
    /// Creates the traffic of `users` users, of about `records` records. No user changes zone more
    /// than `zones_max` times.
    pub fn new(seed: u64, users: u32, zones_max: u32, records: u64) -> Self {
        let now = Timestamp::now();
        let begin = now.checked_sub(SPAN).unwrap_or(now);
        let days = SPAN.as_secs_f64() / 86_400.0;
        let needed = 1000.0 * SIGN_INS_PER_DAY * days * f64::from(users);
        // Thousandths of the records, at most 300: the casts lose nothing that matters.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let sign_ins_per_mille = ((needed / records.max(1) as f64) as u64).clamp(1, 300);
        let users = vec![Life::default(); usize::try_from(users).unwrap_or(1)];
        Self {
            rng: Rng::new(seed, 1),
            users,
            zones_max,
            begin,
            sign_ins_per_mille,
            history: Vec::new(),
            next: None,
            last_id: 0,
            counts: Counts::default(),
        }
    }

    /// Returns the next record when the share `done`, between 0 and 1, of the records is sent.
    pub fn next(&mut self, done: f64) -> Draft {
        if let Some(draft) = self.next.take() {
            return draft;
        }
        match self.rng.below(1000) {
            0..50 => self.duplicate(),
            50..53 => self.imposter(done),
            53..63 => {
                let action = self.action(done);
                self.counts.garbage += 1;
                let draft = garbage::of(&action, &mut self.rng);
                if self.rng.chance(300) {
                    // A parked record has not used up its identity.
                    self.next = Some(self.fresh(action));
                }
                draft
            }
            _ => {
                let action = self.action(done);
                self.fresh(action)
            }
        }
    }

    fn fresh(&mut self, action: Action) -> Draft {
        let life = &mut self.users[action.user as usize];
        life.latest = life.latest.max(Some(action.time));
        if let Deed::UserUpdated(Some(_)) = action.deed {
            life.zone_updated_at = life.zone_updated_at.max(Some(action.time));
            life.zones += 1;
        }
        let action = Arc::new(action);
        self.history.push(Arc::clone(&action));
        self.draft(action)
    }

    /// Encodes an action, one in ten in binary mode. A repeat may use the other mode.
    fn draft(&mut self, action: Arc<Action>) -> Draft {
        let user = action.user;
        let (value, headers) = if self.rng.chance(100) {
            let (value, headers) = action.binary();
            (value, Some(headers))
        } else {
            (action.structured(), None)
        };
        Draft { user, value: Some(value), headers, meaning: Meaning::Action(action) }
    }

    /// Repeats an action. Half of the duplicates follow soon, the others any time later.
    fn duplicate(&mut self) -> Draft {
        self.counts.duplicates += 1;
        let near = self.history.len().saturating_sub(2000);
        let from = if self.rng.chance(500) { near } else { 0 };
        match self.rng.pick(&self.history[from..]).cloned() {
            Some(action) => self.draft(action),
            None => self.next(0.0),
        }
    }

    /// Sends other content under an identity that is already used.
    fn imposter(&mut self, done: f64) -> Draft {
        let Some(original) = self.rng.pick(&self.history).cloned() else { return self.next(done) };
        self.counts.imposters += 1;
        let deed = match self.rng.below(3) {
            0 => Deed::GiftSent(Coins::Whole(500)),
            1 => Deed::SignedIn,
            _ => Deed::UserUpdated(Some(self.rng.index(ZONES.len()))),
        };
        let time = self.now(done);
        self.draft(Arc::new(Action { time, deed, ..Action::clone(&original) }))
    }

    /// Draws the next action. A user's first record sets the zone, or certainly moves a task, since
    /// that decides whether the first zone applies at once.
    fn action(&mut self, done: f64) -> Action {
        let user = self.rng.index(self.users.len());
        let life = self.users[user];
        let mut time = self.now(done);
        let deed = match life.latest {
            None if self.rng.chance(600) => self.zone_update(),
            None => Deed::ProfileCompleted,
            Some(_) => self.deed(),
        };
        let deed = match deed {
            Deed::UserUpdated(Some(_)) if life.zones >= self.zones_max => Deed::UserUpdated(None),
            deed => deed,
        };
        if let (Deed::UserUpdated(_), Some(latest)) = (deed, life.latest) {
            let older = self.rng.chance(100);
            time = match life.zone_updated_at.filter(|_| older) {
                // It arrives after a newer update.
                Some(updated) => {
                    updated - SignedDuration::from_millis(self.rng.between(1, 3_600_000))
                }
                // Newer than everything the user did, so that past periods stay as they are.
                None => latest.max(time) + SignedDuration::from_secs(1),
            };
        } else if self.rng.chance(80) {
            // The action was long on its way, and may be too late.
            time -= SignedDuration::from_millis(self.rng.between(0, 40 * 3_600_000));
        }
        self.last_id += 1;
        let source = u8::try_from(self.rng.below(3)).unwrap_or_default();
        Action { user: u32::try_from(user).unwrap_or(0), source, id: self.last_id, time, deed }
    }

    fn deed(&mut self) -> Deed {
        if self.rng.chance(self.sign_ins_per_mille) {
            return Deed::SignedIn;
        }
        match self.rng.below(1000) {
            0..520 => Deed::GiftSent(self.coins()),
            520..770 => Deed::StreamWatched(self.rng.between(1, 60)),
            770..870 => Deed::FriendAdded,
            870..910 => Deed::ProfileCompleted,
            910..950 => self.zone_update(),
            950..960 => Deed::UserUpdated(None),
            _ => Deed::Unrelated,
        }
    }

    fn zone_update(&mut self) -> Deed {
        Deed::UserUpdated(Some(self.rng.index(ZONES.len())))
    }

    fn coins(&mut self) -> Coins {
        match self.rng.below(100) {
            0..3 => Coins::Unmeasurable(UNMEASURABLE[self.rng.index(UNMEASURABLE.len())]),
            3..6 => Coins::ZeroFraction(self.rng.between(1, 200)),
            6..80 => Coins::Whole(self.rng.between(1, 150)),
            _ => Coins::Whole(self.rng.between(150, 900)),
        }
    }

    /// Returns the present moment of the users' lives, less up to half an hour.
    fn now(&mut self, done: f64) -> Timestamp {
        let passed = SPAN.mul_f64(done.clamp(0.0, 1.0));
        let shaken = SignedDuration::from_millis(self.rng.between(0, 1_800_000));
        self.begin + passed - shaken
    }

    /// Returns the ids of all users.
    pub fn user_names(&self) -> Vec<String> {
        (0..self.users.len()).filter_map(|n| u32::try_from(n).ok()).map(user_name).collect()
    }
}
