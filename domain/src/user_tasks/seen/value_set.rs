//! The set of values that a `distinct` has counted. A large set is divided into chunks, so that
//! adding or finding a value touches a small part of it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::ValueHash;

/// The largest number of values in a set that is kept in one piece.
pub const SMALL_SET_MAX: usize = 256;

/// The number of chunks of a large set. With the most values that a period counts, a chunk holds
/// some 80 of them, in about a kilobyte.
const CHUNKS: u8 = 128;

impl ValueHash {
    /// The chunk of a large set to which the value belongs. Fixed, because chunks are stored.
    pub fn chunk(self) -> u8 {
        self.0[0] / (u8::MAX / CHUNKS + 1)
    }
}

/// A set of values, kept as hashes. A large set that was read from its row knows only its count,
/// and the chunks put into it since; a set that was folded from events has all chunks.
///
/// Stored as one text, the base64url of the sorted hashes (16 bytes a value); as the count alone if
/// chunks are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct ValueSet(Values);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Values {
    /// Sorted; at most [`SMALL_SET_MAX`].
    Small(Vec<ValueHash>),
    Large(LargeSet),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LargeSet {
    /// The number of values in all chunks, also in those not loaded.
    count: usize,
    /// The loaded chunks, each sorted.
    chunks: BTreeMap<u8, Vec<ValueHash>>,
}

impl Default for ValueSet {
    fn default() -> Self {
        Self(Values::Small(Vec::new()))
    }
}

impl LargeSet {
    /// Builds a set with all of its chunks.
    fn of(values: Vec<ValueHash>) -> Self {
        let count = values.len();
        let mut chunks: BTreeMap<u8, Vec<_>> = (0..CHUNKS).map(|id| (id, Vec::new())).collect();
        for value in values {
            chunks.entry(value.chunk()).or_default().push(value);
        }
        Self { count, chunks }
    }
}

impl ValueSet {
    fn of(values: Vec<ValueHash>) -> Self {
        let is_small = values.len() <= SMALL_SET_MAX;
        Self(if is_small { Values::Small(values) } else { Values::Large(LargeSet::of(values)) })
    }

    /// True if the set holds the value.
    ///
    /// # Panics
    ///
    /// If the value's chunk is not loaded. A guess could count a value twice.
    pub fn contains(&self, value: ValueHash) -> bool {
        let among = match &self.0 {
            Values::Small(values) => values,
            Values::Large(set) => set.chunks.get(&value.chunk()).expect("its chunk was loaded"),
        };
        among.binary_search(&value).is_ok()
    }

    /// Adds a value. Its chunk must be loaded, as [`Self::contains`] requires; otherwise nothing
    /// happens.
    pub(super) fn insert(&mut self, value: ValueHash) {
        match &mut self.0 {
            Values::Small(values) => {
                if insert_sorted(values, value) && values.len() > SMALL_SET_MAX {
                    *self = Self::of(std::mem::take(values));
                }
            }
            Values::Large(set) => {
                let chunk = set.chunks.get_mut(&value.chunk());
                if chunk.is_some_and(|chunk| insert_sorted(chunk, value)) {
                    set.count += 1;
                }
            }
        }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        match &self.0 {
            Values::Small(values) => values.len(),
            Values::Large(set) => set.count,
        }
    }

    /// True if there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if the set is divided into chunks.
    pub fn is_large(&self) -> bool {
        matches!(self.0, Values::Large(_))
    }

    /// True if all values are loaded.
    pub fn is_complete(&self) -> bool {
        match &self.0 {
            Values::Small(_) => true,
            Values::Large(set) => set.chunks.len() == usize::from(CHUNKS),
        }
    }

    /// The loaded chunks of a large set that are not empty, each with its packed values.
    pub fn chunks(&self) -> impl Iterator<Item = (u8, Vec<u8>)> + '_ {
        let chunks = match &self.0 {
            Values::Small(_) => None,
            Values::Large(set) => Some(&set.chunks),
        };
        let not_empty = chunks.into_iter().flatten().filter(|(_, values)| !values.is_empty());
        not_empty.map(|(id, values)| (*id, pack(values)))
    }

    /// Puts a chunk into a large set, as packed values; empty if no value of the set belongs to it.
    pub fn put_chunk(&mut self, id: u8, packed: &[u8]) -> Result<(), InvalidValueSet> {
        let values = unpack(packed)?;
        let is_of_chunk = id < CHUNKS && values.iter().all(|value| value.chunk() == id);
        match &mut self.0 {
            Values::Large(set) if is_of_chunk => {
                set.chunks.insert(id, values);
                Ok(())
            }
            _ => Err(InvalidValueSet),
        }
    }

    /// Drops the chunks of a large set and keeps the count of its values.
    pub fn forget_chunks(&mut self) {
        if let Values::Large(set) = &mut self.0 {
            set.chunks.clear();
        }
    }
}

/// Inserts a value at its place. Returns true if it is new.
fn insert_sorted(values: &mut Vec<ValueHash>, value: ValueHash) -> bool {
    let place = values.binary_search(&value);
    if let Err(place) = place {
        values.insert(place, value);
    }
    place.is_err()
}

/// Writes the hashes one after the other.
fn pack(values: &[ValueHash]) -> Vec<u8> {
    values.iter().flat_map(|hash| hash.0).collect()
}

fn unpack(bytes: &[u8]) -> Result<Vec<ValueHash>, InvalidValueSet> {
    let (hashes, rest) = bytes.as_chunks::<{ ValueHash::BYTES }>();
    let hashes: Vec<_> = hashes.iter().copied().map(ValueHash).collect();
    let is_set = rest.is_empty() && hashes.is_sorted_by(|a, b| a < b);
    if is_set { Ok(hashes) } else { Err(InvalidValueSet) }
}

/// The stored form of a set.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    /// The number of values of a large set, whose chunks are stored elsewhere.
    Count(usize),
    Values(String),
}

impl TryFrom<Stored> for ValueSet {
    type Error = InvalidValueSet;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        match stored {
            Stored::Count(count) if count > SMALL_SET_MAX => {
                Ok(Self(Values::Large(LargeSet { count, chunks: BTreeMap::new() })))
            }
            Stored::Count(_) => Err(InvalidValueSet),
            Stored::Values(text) => {
                let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidValueSet)?;
                unpack(&bytes).map(Self::of)
            }
        }
    }
}

impl From<ValueSet> for Stored {
    fn from(set: ValueSet) -> Self {
        if !set.is_complete() {
            return Self::Count(set.len());
        }
        let packed = match &set.0 {
            Values::Small(values) => pack(values),
            // Chunks follow each other in the order of their values, so together they are sorted.
            Values::Large(set) => set.chunks.values().flat_map(|values| pack(values)).collect(),
        };
        Self::Values(URL_SAFE_NO_PAD.encode(packed))
    }
}

/// The error for stored values that are not a [`ValueSet`], or not a chunk of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a set of values is stored as sorted hashes of 12 bytes, or as the count of more than {SMALL_SET_MAX}"
)]
pub struct InvalidValueSet;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn hash(number: usize) -> ValueHash {
        ValueHash::of(&json!(number))
    }

    fn set_of(numbers: impl IntoIterator<Item = usize>) -> ValueSet {
        let mut set = ValueSet::default();
        numbers.into_iter().for_each(|number| set.insert(hash(number)));
        set
    }

    fn stored(set: &ValueSet) -> Value {
        serde_json::to_value(set).unwrap()
    }

    fn read(stored: Value) -> Result<ValueSet, serde_json::Error> {
        serde_json::from_value(stored)
    }

    #[test]
    fn a_set_takes_sixteen_bytes_a_value_and_reads_back() {
        for count in [0, 1, SMALL_SET_MAX, SMALL_SET_MAX + 1, 1_500] {
            let set = set_of((0..count).chain(0..count / 2));
            assert_eq!((set.len(), set.is_empty()), (count, count == 0));
            assert_eq!((set.is_large(), set.is_complete()), (count > SMALL_SET_MAX, true));
            let text = stored(&set);
            assert_eq!(text.as_str().unwrap().len(), count * 16);
            assert_eq!(read(text).unwrap(), set);
        }
        let text = stored(&set_of(0..300));
        let (first, rest) = text.as_str().unwrap().split_at(16);
        for broken in [json!(&rest[1..]), json!(format!("{rest}{first}")), json!("?"), json!(-1)] {
            assert!(read(broken.clone()).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_large_set_is_put_together_from_its_count_and_the_chunks_that_are_needed() {
        let whole = set_of(0..1_000);
        let mut part = whole.clone();
        part.forget_chunks();
        assert_eq!(stored(&part), json!(1_000));
        let mut part = read(stored(&part)).unwrap();
        assert_eq!((part.len(), part.is_large(), part.is_complete()), (1_000, true, false));
        for value in [hash(77), hash(77_777)] {
            let (id, packed) =
                whole.chunks().find(|(id, _)| *id == value.chunk()).expect("chunks are not empty");
            part.put_chunk(id, &packed).unwrap();
            assert_eq!(part.contains(value), whole.contains(value));
        }
        part.insert(hash(77_777));
        part.insert(hash(77));
        assert_eq!(part.len(), 1_001);
        assert!(part.contains(hash(77_777)));
        assert_eq!(stored(&part), json!(1_001), "it does not have all of its chunks");
        for (id, packed) in set_of((0..1_000).chain([77_777])).chunks() {
            part.put_chunk(id, &packed).unwrap();
        }
        assert_eq!(part, set_of((0..1_000).chain([77_777])));
    }

    #[test]
    fn what_is_no_chunk_of_the_set_is_refused() {
        let whole = set_of(0..1_000);
        let (id, packed) = whole.chunks().next().unwrap();
        let mut part = whole.clone();
        part.forget_chunks();
        assert!(part.put_chunk(id, &packed[1..]).is_err());
        assert!(part.put_chunk(id + 1, &packed).is_err());
        assert!(part.put_chunk(CHUNKS, &[]).is_err());
        assert!(set_of(0..5).put_chunk(id, &packed).is_err());
        assert!(read(json!(SMALL_SET_MAX)).is_err(), "a small set has its values with it");
    }

    #[test]
    #[should_panic(expected = "its chunk was loaded")]
    fn a_set_is_never_asked_about_a_chunk_that_it_does_not_know() {
        let mut part = set_of(0..1_000);
        part.forget_chunks();
        part.contains(hash(1));
    }

    proptest! {
        #[test]
        fn a_set_of_any_size_holds_what_was_added_to_it(
            numbers in proptest::collection::vec(0..2_000_usize, 0..700),
        ) {
            let set = set_of(numbers.iter().copied());
            let expected: BTreeSet<_> = numbers.into_iter().collect();
            prop_assert_eq!(set.len(), expected.len());
            for number in 0..2_000 {
                prop_assert_eq!(set.contains(hash(number)), expected.contains(&number));
            }
            prop_assert_eq!(set, set_of(expected.into_iter().rev()));
        }
    }
}
