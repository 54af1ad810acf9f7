//! Splits large requests into portions that are read and applied one by one: parsed JSON takes many
//! times the memory of its text.

use plaudit_actions::memory;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::ACTIONS_MAX;

/// The longest text of an element that is parsed, in bytes. The data of an action has 64 KiB at
/// most, and six times as much if every character is escaped.
pub const ELEMENT_BYTES_MAX: usize = 512 * 1024;

/// Divides elements into portions of at most `bytes_max` bytes once parsed; a larger element makes
/// a portion of its own. Yields each portion with its bytes.
pub fn portions<'e>(
    elements: &'e [&'e [u8]],
    bytes_max: usize,
) -> impl Iterator<Item = (usize, &'e [&'e [u8]])> {
    let mut rest = elements;
    std::iter::from_fn(move || {
        let (mut bytes, mut count) = (0, 0);
        for element in rest {
            let more = memory::of_text(element);
            if count > 0 && bytes + more > bytes_max {
                break;
            }
            (bytes, count) = (bytes + more, count + 1);
        }
        let (portion, left) = rest.split_at(count);
        rest = left;
        (count > 0).then_some((bytes, portion))
    })
}

/// The elements of an array. Those beyond [`ACTIONS_MAX`] are only counted, so that an array of
/// millions takes no more memory than its text.
pub struct Elements<'b> {
    /// The first elements, at most [`ACTIONS_MAX`].
    pub kept: Vec<&'b RawValue>,
    /// The number of all elements.
    pub count: usize,
}

impl<'de: 'b, 'b> serde::Deserialize<'de> for Elements<'b> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an array of actions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Elements<'de>, A::Error> {
                let mut kept = Vec::new();
                while kept.len() < ACTIONS_MAX {
                    match array.next_element()? {
                        Some(element) => kept.push(element),
                        None => return Ok(Elements { count: kept.len(), kept }),
                    }
                }
                let mut count = kept.len();
                while array.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(Elements { kept, count })
            }
        }
        from.deserialize_seq(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_divided_in_order_and_a_large_one_stands_alone() {
        let long = format!("\"{}\"", "x".repeat(500));
        let elements = [&b"1"[..], b"2", long.as_bytes(), b"3"];
        let counts = |bytes_max| {
            portions(&elements, bytes_max).map(|(_, portion)| portion.len()).collect::<Vec<_>>()
        };
        assert_eq!(counts(100), [2, 1, 1]);
        assert_eq!(counts(0), [1, 1, 1, 1]);
        assert_eq!(counts(10_000), [4]);
        assert_eq!(portions(&[], 10).count(), 0);
    }

    #[test]
    fn an_array_of_millions_is_counted_and_not_kept() {
        let zeros = format!("[{}]", vec!["0"; 100_000].join(","));
        let elements: Elements<'_> = serde_json::from_str(&zeros).unwrap();
        assert_eq!((elements.count, elements.kept.len()), (100_000, ACTIONS_MAX));
        assert!(serde_json::from_str::<Elements<'_>>(&zeros[..zeros.len() - 1]).is_err());
    }
}
