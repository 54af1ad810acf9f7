//! Conversion of the Kafka client's messages into records.

mod headers;

use jiff::Timestamp;
use plaudit_actions::record::RawRecord;
use rdkafka::Message as _;
use rdkafka::message::BorrowedMessage;

/// Converts a message into a record that borrows its bytes.
pub fn as_record<'m>(message: &'m BorrowedMessage<'_>) -> RawRecord<'m> {
    RawRecord {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message
            .timestamp()
            .to_millis()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok()),
        key: message.key(),
        headers: message.headers().map(headers::read).unwrap_or_default(),
        value: message.payload(),
    }
}
