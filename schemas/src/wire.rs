//! The header of a value: the number of its schema and, for Protobuf, the message.
//!
//! # Source
//!
//! Confluent's documentation, "Wire format" of "Formats, Serializers, and Deserializers".

/// The first byte of every value that names its schema.
const MAGIC: u8 = 0;

/// The most levels of nested messages that an index may have.
const MESSAGE_DEPTH_MAX: usize = 32;

/// Splits a value into the number of its schema and the rest.
pub fn schema_id(value: &[u8]) -> Result<(u32, &[u8]), String> {
    match value {
        [MAGIC, a, b, c, d, rest @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), rest)),
        [MAGIC, ..] | [] => Err(format!(
            "the value has {} bytes, too few for the number of its schema",
            value.len()
        )),
        [first, ..] => Err(format!(
            "the value does not begin with the number of its schema (byte {first} instead of 0); \
             was it written with a serializer of the schema registry?"
        )),
    }
}

/// Splits the bytes after the number of a Protobuf schema into the path of the message type in its
/// file, level by level, and the message.
pub fn message_index(bytes: &[u8]) -> Result<(Vec<usize>, &[u8]), String> {
    let invalid = || "the value has no valid index of its message".to_owned();
    let (levels, mut rest) = number(bytes).ok_or_else(invalid)?;
    if levels == 0 {
        return Ok((vec![0], rest)); // short for the first message
    }
    if levels > MESSAGE_DEPTH_MAX {
        return Err(invalid());
    }
    let mut path = Vec::with_capacity(levels);
    for _ in 0..levels {
        let (level, after) = number(rest).ok_or_else(invalid)?;
        path.push(level);
        rest = after;
    }
    Ok((path, rest))
}

/// Reads a zigzag varint; `None` if it is negative or invalid.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value: u64 = 0;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let is_negative = value & 1 == 1;
            let number = usize::try_from(value >> 1).ok().filter(|_| !is_negative)?;
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_names_its_schema_in_five_bytes() {
        assert_eq!(schema_id(&[0, 0, 0, 1, 2, 9, 9]), Ok((258, &[9_u8, 9][..])));
        assert!(schema_id(&[0, 0, 0]).unwrap_err().contains("3 bytes, too few"));
        assert!(schema_id(b"{\"a\":1}").unwrap_err().contains("byte 123 instead of 0"));
    }

    #[test]
    fn a_message_is_named_by_its_place() {
        assert_eq!(message_index(&[0, 7]), Ok((vec![0], &[7_u8][..])));
        assert_eq!(message_index(&[4, 2, 6, 7]), Ok((vec![1, 3], &[7_u8][..])));
        for bad in [&[][..], &[1], &[4, 2], &[0x80], &[200, 1, 0]] {
            assert!(message_index(bad).is_err(), "{bad:?}");
        }
    }
}
