//! Turns a record into items of work, each for the lane of its user.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use plaudit_actions::formats::Unavailable;
use plaudit_actions::record::RawRecord;
use plaudit_actions::sources::{Mapped, ParkReason, Sources};
use plaudit_domain::action::Action;
use plaudit_domain::lane::{Lane, LaneCount};
use plaudit_event_store::{Incoming, Item, Origin, ParkedRecord, SourcePosition};
use tokio::sync::watch;
use uuid::Uuid;

/// Turns records into items of work. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    sources: watch::Receiver<Arc<Sources>>,
    lane_count: LaneCount,
    future_tolerance: SignedDuration,
}

impl Router {
    /// Creates a router that maps each record by the sources in force at that moment.
    pub fn new(
        sources: watch::Receiver<Arc<Sources>>,
        lane_count: LaneCount,
        future_tolerance: Duration,
    ) -> Self {
        let future_tolerance =
            SignedDuration::try_from(future_tolerance).unwrap_or(SignedDuration::MAX);
        Self { sources, lane_count, future_tolerance }
    }

    /// Maps a record to items: none, or some in each of several lanes. Fails if the record has to
    /// wait for its schema.
    pub fn items(
        &self,
        record: &RawRecord<'_>,
        at: &SourcePosition,
    ) -> Result<Vec<Item<Incoming>>, Unavailable> {
        let sources = Arc::clone(&self.sources.borrow());
        // A bug in a mapping must not stop a partition.
        let mapped = catch_unwind(AssertUnwindSafe(|| sources.map(record)));
        let mapped = mapped.unwrap_or_else(|_| {
            let why = ParkReason::unreadable("an internal error while reading it");
            Ok(vec![Mapped::Park(why)])
        })?;
        let is_mapped = sources.maps(record.topic);
        let item = |(index, mapped)| self.item(index, mapped, record, at, is_mapped);
        Ok(mapped.into_iter().enumerate().map(item).collect())
    }

    fn item(
        &self,
        index: usize,
        mapped: Mapped,
        record: &RawRecord<'_>,
        at: &SourcePosition,
        is_mapped: bool,
    ) -> Item<Incoming> {
        let why = match mapped {
            Mapped::Park(why) => why,
            Mapped::Action(action) => {
                let tolerance = self.future_tolerance;
                let Some(why) = too_early(&action, record.timestamp, tolerance) else {
                    let lane = Lane::of(action.user.as_str(), self.lane_count);
                    let origin = Origin::Record(at.clone());
                    return Item { lane, work: Incoming::Action(action), origin };
                };
                why
            }
        };
        let parked = ParkedRecord {
            id: parked_id(at, index),
            reason: why.reason,
            repairable: why.repairable,
            user: why.user,
            headers: record.parked_headers(is_mapped),
            bytes: record.value.unwrap_or_default().to_vec(),
        };
        park(parked, at, self.lane_count)
    }
}

/// Returns the reason to park an action whose time is further after its record's timestamp than
/// tolerated.
pub fn too_early(
    action: &Action,
    timestamp: Option<Timestamp>,
    tolerance: SignedDuration,
) -> Option<ParkReason> {
    // Records of very old producers have no timestamp.
    let recorded_at = timestamp.unwrap_or_else(Timestamp::now);
    let ahead = action.occurred_at.duration_since(recorded_at);
    (ahead > tolerance).then(|| {
        let time = action.occurred_at;
        let why = format!(
            "from the future: `time` {time} is more than {tolerance} after the record's timestamp {recorded_at}"
        );
        ParkReason::too_early(action.user.clone(), why)
    })
}

/// Returns the id under which one part of a record is parked. `index` counts the parts, of which
/// each is an action or a reason to park.
pub fn parked_id(at: &SourcePosition, index: usize) -> Uuid {
    let name = format!(
        "{}\u{1f}{}\u{1f}{}\u{1f}{}\u{1f}{index}",
        at.topic, at.incarnation, at.partition, at.offset
    );
    ParkedRecord::id_of(&name)
}

/// Returns the lane for a partition's records that name no user.
pub fn lane_of_partition(at: &SourcePosition, lane_count: LaneCount) -> Lane {
    Lane::of(&format!("{}/{}", at.topic, at.partition), lane_count)
}

/// Returns the item that parks a record, in the lane of its user or else of its partition.
pub fn park(parked: ParkedRecord, at: &SourcePosition, lane_count: LaneCount) -> Item<Incoming> {
    let lane = match &parked.user {
        Some(user) => Lane::of(user.as_str(), lane_count),
        None => lane_of_partition(at, lane_count),
    };
    Item { lane, work: Incoming::Park(parked), origin: Origin::Record(at.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router() -> Router {
        let lanes = LaneCount::try_from(64).unwrap();
        Router::new(watch::channel(Arc::default()).1, lanes, Duration::from_secs(300))
    }

    fn items(value: &[u8]) -> Vec<Item<Incoming>> {
        let position =
            SourcePosition { topic: "t".into(), incarnation: 0, partition: 3, offset: 7 };
        let timestamp = Some("2026-03-29T12:00:00Z".parse().unwrap());
        let record = RawRecord {
            topic: "t",
            partition: 3,
            offset: 7,
            timestamp,
            value: Some(value),
            ..RawRecord::default()
        };
        router().items(&record, &position).unwrap()
    }

    fn event(time: &str) -> Vec<u8> {
        let event = serde_json::json!({"specversion":"1.0","source":"/s","id":"1","type":"t","subject":"u",
            "time":time,"data":{}});
        event.to_string().into_bytes()
    }

    #[test]
    fn an_action_lies_in_the_lane_of_its_user() {
        let items = items(&event("2026-03-29T12:00:00Z"));
        assert_eq!(items[0].lane, Lane::of("u", LaneCount::try_from(64).unwrap()));
        assert!(matches!(&items[0].work, Incoming::Action(action) if action.user.as_str() == "u"));
    }

    #[test]
    fn rule_22_what_names_no_user_lies_in_the_lane_of_its_partition() {
        let items = items(b"garbage");
        assert_eq!(items[0].lane, Lane::of("t/3", LaneCount::try_from(64).unwrap()));
        let Incoming::Park(parked) = &items[0].work else { panic!("{items:?}") };
        assert_eq!((parked.bytes.as_slice(), parked.repairable), (&b"garbage"[..], false));
        assert_eq!(parked.id, ParkedRecord::id_of("t\u{1f}0\u{1f}3\u{1f}7\u{1f}0"));
    }

    #[test]
    fn rule_03_an_action_from_the_future_is_parked_and_blocks_no_one() {
        assert!(matches!(items(&event("2026-03-29T12:05:00Z"))[0].work, Incoming::Action(_)));
        let items = items(&event("2026-03-29T12:05:00.000001Z"));
        let Incoming::Park(parked) = &items[0].work else { panic!("{items:?}") };
        assert!(!parked.repairable);
        assert_eq!(parked.user.as_ref().map(plaudit_domain::ids::UserId::as_str), Some("u"));
        assert!(parked.reason.contains("more than PT5M after"), "{}", parked.reason);
    }
}
