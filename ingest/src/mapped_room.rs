//! Bounds the memory of mapped items that are not applied yet, over all mappers of a session.
//!
//! A record's length says little about it: parsed JSON takes up to a hundred times its text, and a
//! mapping makes an action for each of up to a thousand users. Each item is charged by what it
//! holds, and a mapper waits before the next record while too much is in flight.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plaudit_actions::memory;
use plaudit_event_store::{Item, Work};

/// Bytes of mapped items beyond which no further record is mapped. Above the limit at which polling
/// stops, so that only records that become much larger when they are mapped reach it.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Time limit for one wait: a waiting mapper checks this often whether its session has ended.
const WAIT_MAX: Duration = Duration::from_millis(50);

/// Bytes of memory that an item takes besides what it holds: its entry in the queue, its position.
const ENTRY_BYTES: usize = 800;

/// Parsed JSON of a record that its own items cover, in bytes: a usual action is smaller. What
/// exceeds it is charged as soon as the record is polled.
const USUAL_BYTES: usize = 4 * 1024;

/// The room for mapped items.
#[derive(Debug, Default)]
pub struct MappedRoom {
    taken: Mutex<usize>,
    freed: Condvar,
}

/// Bytes taken in the room. Returned on drop.
#[derive(Debug)]
pub struct Charge {
    room: Arc<MappedRoom>,
    pub bytes: usize,
}

impl MappedRoom {
    /// Returns true if no further record is to be mapped for now.
    pub fn is_full(&self) -> bool {
        *self.taken() >= BYTES_MAX
    }

    /// Waits until the room is no longer full, or for a moment.
    pub fn wait(&self) {
        let is_full = |taken: &mut usize| *taken >= BYTES_MAX;
        let _ = self.freed.wait_timeout_while(self.taken(), WAIT_MAX, is_full);
    }

    /// Opens an empty charge.
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge { room: Arc::clone(self), bytes: 0 }
    }

    fn taken(&self) -> MutexGuard<'_, usize> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charge {
    /// Takes more bytes. Does not wait.
    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        *self.room.taken() += bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        *self.room.taken() -= self.bytes;
        self.room.freed.notify_all();
    }
}

/// Returns the memory that an item takes until it is applied, in bytes.
pub fn item_bytes(item: &Item) -> usize {
    let held = match &item.work {
        Work::Action(action) | Work::CountPast { action, .. } => memory::of_action(action),
        Work::Park(parked) => {
            parked.bytes.len() + parked.reason.len() + memory::of_value(&parked.headers)
        }
        _ => 0,
    };
    ENTRY_BYTES + held
}

/// Returns the bytes charged for a record before it is mapped: its length, and what its value takes
/// beyond a usual one once it is parsed.
pub fn record_bytes(length: usize, value: Option<&[u8]>) -> usize {
    length + memory::of_text(value.unwrap_or_default()).saturating_sub(USUAL_BYTES)
}

#[cfg(test)]
mod tests {
    use plaudit_domain::action::{Action, Parts};
    use plaudit_domain::lane::Lane;
    use plaudit_event_store::{Origin, SourcePosition};
    use serde_json::json;

    use super::*;

    fn action(data: &serde_json::Value) -> Item {
        let data = data.as_object().cloned().unwrap();
        let parts = Parts {
            user: "u",
            source: "/s",
            id: "1",
            kind: "t",
            time: "2026-03-29T12:00:00Z",
            data,
        };
        let at = SourcePosition { topic: "t".into(), incarnation: 0, partition: 0, offset: 0 };
        let work = Work::Action(Action::new(parts).unwrap());
        Item { lane: Lane(0), work, origin: Origin::Record(at) }
    }

    /// 64 KB of small objects take 6 MB once they are parsed.
    #[test]
    fn records_and_items_are_charged_by_their_memory_and_not_by_their_length() {
        let data = json!({"a": vec![json!({"": 0}); 8_000]});
        let text = data.to_string();
        assert!(text.len() < 64 * 1024);
        assert!(item_bytes(&action(&data)) > 8_000 * 664);
        assert!(record_bytes(text.len(), Some(text.as_bytes())) > 8_000 * 664);
    }

    #[test]
    fn a_usual_record_is_charged_by_its_length() {
        let text = json!({"specversion": "1.0", "source": "/gifts", "id": "g-1001", "type": "gift.sent",
            "subject": "u42", "time": "2026-03-29T01:30:00+01:00", "data": {"coins": 50, "room": "r7"}})
        .to_string();
        assert_eq!(record_bytes(text.len(), Some(text.as_bytes())), text.len());
        assert_eq!(record_bytes(7, None), 7);
        assert!(item_bytes(&action(&json!({"coins": 50, "room": "r7"}))) < 2_048);
    }

    #[test]
    fn the_room_is_full_until_a_share_is_applied() {
        let room = Arc::new(MappedRoom::default());
        let (mut first, mut second) = (room.charge(), room.charge());
        first.add(BYTES_MAX - 1);
        assert!(!room.is_full());
        second.add(1);
        room.wait();
        assert!(room.is_full());
        drop(first);
        assert!(!room.is_full());
        assert_eq!((second.bytes, *room.taken()), (1, 1));
    }
}
