//! Writes a record byte by byte, for cases that no client library sends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

/// Sends one record with one header, whose name may be any bytes, to a partition of a topic.
///
/// # Source
///
/// Kafka protocol guide: Produce request, version 3; record batch, version 2.
pub async fn send(brokers: &str, topic: &str, partition: i32, header: &[u8], value: &[u8]) {
    let request = produce_request(topic, partition, &batch(header, value));
    let address = brokers.split(',').next().unwrap().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&sized(&request)).unwrap();
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size)).unwrap()];
        stream.read_exact(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    // The error code follows the correlation id, topics, name, partitions and partition.
    let at = 4 + 4 + 2 + topic.len() + 4 + 4;
    let error = i16::from_be_bytes([answer[at], answer[at + 1]]);
    assert_eq!(error, 0, "the broker takes the record");
}

fn produce_request(topic: &str, partition: i32, records: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    request.extend(0_i16.to_be_bytes()); // Produce
    request.extend(3_i16.to_be_bytes());
    request.extend(1_i32.to_be_bytes()); // correlation id
    request.extend(text("wire"));
    request.extend((-1_i16).to_be_bytes()); // no transaction
    request.extend((-1_i16).to_be_bytes()); // all replicas
    request.extend(30_000_i32.to_be_bytes());
    request.extend(1_i32.to_be_bytes());
    request.extend(text(topic));
    request.extend(1_i32.to_be_bytes());
    request.extend(partition.to_be_bytes());
    request.extend(sized(records));
    request
}

fn batch(header: &[u8], value: &[u8]) -> Vec<u8> {
    let mut record = vec![0]; // attributes
    record.extend(varint(0)); // timestamp
    record.extend(varint(0)); // offset
    record.extend(varint(-1)); // no key
    record.extend(counted(value));
    record.extend(varint(1));
    record.extend(counted(header));
    record.extend(counted(b"value"));

    let now = jiff::Timestamp::now().as_millisecond();
    let mut checked = Vec::new();
    checked.extend(0_i16.to_be_bytes()); // attributes
    checked.extend(0_i32.to_be_bytes()); // last offset
    checked.extend(now.to_be_bytes());
    checked.extend(now.to_be_bytes());
    checked.extend((-1_i64).to_be_bytes()); // no producer id
    checked.extend((-1_i16).to_be_bytes());
    checked.extend((-1_i32).to_be_bytes());
    checked.extend(1_i32.to_be_bytes());
    checked.extend(counted(&record));

    let mut rest = Vec::new();
    rest.extend((-1_i32).to_be_bytes()); // leader epoch
    rest.push(2); // magic
    rest.extend(crc32c(&checked).to_be_bytes());
    rest.extend(checked);
    let mut batch = 0_i64.to_be_bytes().to_vec();
    batch.extend(sized(&rest));
    batch
}

fn text(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = i32::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes(), bytes].concat()
}

fn counted(bytes: &[u8]) -> Vec<u8> {
    let mut counted = varint(i32::try_from(bytes.len()).unwrap());
    counted.extend(bytes);
    counted
}

/// Encodes a zigzag varint, seven bits at a time.
fn varint(value: i32) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 31)).cast_unsigned();
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Computes the CRC bit by bit, which is fast enough for one record.
///
/// # Source
///
/// RFC 3720, appendix B.4.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
