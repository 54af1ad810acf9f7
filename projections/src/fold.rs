//! Folds whole streams, by the same rules that maintain the live views.

use std::collections::BTreeMap;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{UserTasks, evolve};
use plaudit_event_store::reader::{self, Fact, Kinds, UserFacts};
use plaudit_event_store::rewards::Ledger;
use sqlx::PgConnection;

/// The parts of a user to fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoldParts {
    /// The rules' state.
    State,
    /// The rewards, which follow from few of the events.
    Rewards,
    /// Both.
    Both,
}

impl FoldParts {
    /// The kinds of events that these parts follow from.
    pub fn kinds(self) -> Kinds {
        if self == Self::Rewards { Kinds::OfRewards } else { Kinds::All }
    }
}

/// A user, folded from the first event to the last.
#[derive(Debug)]
pub(crate) struct FoldedUser {
    pub user: UserId,
    pub state: UserTasks,
    pub ledger: Ledger,
    /// Sequence of the last event that was folded.
    pub sequence: i64,
    /// Number of events that were folded.
    pub events: i64,
}

impl FoldedUser {
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            state: UserTasks::default(),
            ledger: Ledger::default(),
            sequence: 0,
            events: 0,
        }
    }

    pub fn record(&mut self, parts: FoldParts, fact: &Fact) {
        if parts != FoldParts::Rewards {
            evolve(&mut self.state, &fact.event);
        }
        if parts != FoldParts::State {
            self.ledger.record(&fact.event, fact.position);
        }
        self.sequence = fact.sequence;
        self.events += 1;
    }
}

/// Some users of a lane.
#[derive(Debug, Default)]
pub(crate) struct Folded {
    /// In order of their ids.
    pub users: Vec<FoldedUser>,
    /// Users with an event that can't be read, with the reason; in order of their ids.
    pub unreadable: Vec<(String, String)>,
    /// The last of all these users; `None` if there are none.
    pub last: Option<String>,
}

/// A user whose events are being folded.
struct Open {
    user: String,
    /// The fold, or the reason why an event can't be read.
    fold: Result<FoldedUser, String>,
}

impl Open {
    fn new(user: &str) -> Self {
        let fold = UserId::try_from(user.to_owned()).map(FoldedUser::new);
        Self { user: user.to_owned(), fold: fold.map_err(|error| error.to_string()) }
    }

    fn record(&mut self, parts: FoldParts, facts: UserFacts) {
        if let Ok(folded) = &mut self.fold {
            facts.facts.iter().for_each(|fact| folded.record(parts, fact));
            if let Some(reason) = facts.unreadable {
                self.fold = Err(reason);
            }
        }
    }

    fn close(self, into: &mut Folded) {
        into.last = Some(self.user.clone());
        match self.fold {
            Ok(folded) => into.users.push(folded),
            Err(reason) => into.unreadable.push((self.user, reason)),
        }
    }
}

/// Maximum number of users per query.
const USERS_AT_ONCE: usize = 64;

/// Folds some users, each in its lane. Returns them by lane; users without events are left out.
pub(crate) async fn users(
    users: &[(Lane, &str)],
    parts: FoldParts,
    connection: &mut PgConnection,
) -> sqlx::Result<BTreeMap<Lane, Folded>> {
    let mut all: BTreeMap<Lane, Folded> = BTreeMap::new();
    for some in users.chunks(USERS_AT_ONCE) {
        for facts in reader::users_whole(some, parts.kinds(), connection).await? {
            let (lane, mut open) = (facts.lane, Open::new(&facts.user));
            open.record(parts, facts);
            open.close(all.entry(lane).or_default());
        }
    }
    Ok(all)
}

/// Folds the users of a lane in order of their ids, each as a whole, wherever the pages of the log
/// end.
pub(crate) struct LaneFold {
    lane: Lane,
    parts: FoldParts,
    /// The last event that was read.
    after: (String, i64),
    /// The user whose later events may be on the next page.
    open: Option<Open>,
    has_ended: bool,
}

impl LaneFold {
    /// Starts with the first user after this one; `None` for the first of the lane.
    pub fn after(lane: Lane, parts: FoldParts, user: Option<String>) -> Self {
        let after = (user.unwrap_or_default(), i64::MAX);
        Self { lane, parts, after, open: None, has_ended: false }
    }

    /// Reads a page and returns the users that it completes, maybe none; `None` after the last.
    pub async fn next(
        &mut self,
        events: i64,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Option<Folded>> {
        if self.has_ended {
            return Ok(None);
        }
        let after = (self.after.0.as_str(), self.after.1);
        let page =
            reader::users_page(self.lane, after, self.parts.kinds(), events, connection).await?;
        let mut completed = Folded::default();
        for facts in page.users {
            if self.open.as_ref().is_none_or(|open| open.user != facts.user)
                && let Some(closed) = self.open.replace(Open::new(&facts.user))
            {
                closed.close(&mut completed);
            }
            if let Some(open) = &mut self.open {
                open.record(self.parts, facts);
            }
        }
        let is_full = i64::try_from(page.events).is_ok_and(|count| count >= events);
        match page.last.filter(|_| is_full) {
            Some(last) => self.after = last,
            None => {
                self.has_ended = true;
                if let Some(closed) = self.open.take() {
                    closed.close(&mut completed);
                }
            }
        }
        Ok(Some(completed))
    }

    /// Returns true if the last user was returned.
    pub fn has_ended(&self) -> bool {
        self.has_ended
    }
}
