//! Reads a record's headers, including those whose names are not UTF-8.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::message::Headers;

/// Stands in for a name that is not UTF-8. Kafka requires UTF-8 names and does not check them.
pub const UNREADABLE_NAME: &str = "?";

/// Returns the headers in order. The Kafka client panics at a name that is not UTF-8, and gives
/// neither its bytes nor the value. Such a header becomes [`UNREADABLE_NAME`] without a value; the
/// record is read by its other headers.
pub fn read<H: Headers>(headers: &H) -> Vec<(&str, Option<&[u8]>)> {
    let header = |index| match catch_unwind(AssertUnwindSafe(|| headers.try_get(index))) {
        Ok(header) => header.map(|header| (header.key, header.value)),
        Err(_) => Some((UNREADABLE_NAME, None)),
    };
    (0..headers.count()).filter_map(header).collect()
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Header;

    use super::*;

    /// Panics like the Kafka client, as if its second header had a name that is not UTF-8.
    struct Faulty;

    impl Headers for Faulty {
        fn count(&self) -> usize {
            3
        }

        fn try_get(&self, index: usize) -> Option<Header<'_, &[u8]>> {
            assert_ne!(index, 1, "Utf8Error");
            Some(Header { key: "name", value: Some(b"value") })
        }
    }

    #[test]
    fn rule_21_a_name_that_is_not_utf_8_costs_its_header_and_no_other() {
        let named = ("name", Some(&b"value"[..]));
        assert_eq!(read(&Faulty), [named, (UNREADABLE_NAME, None), named]);
    }
}
