//! A stock Kafka producer that remembers the position of each record in the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use tokio_util::sync::CancellationToken;

use super::action::user_name;
use super::error::SoakError;
use super::traffic::{Draft, Meaning, Traffic};
use super::{ACTIONS, Options};

/// Time limit for a flush. A killed broker is back long before.
const FLUSH_MAX: Duration = Duration::from_secs(120);
/// Interval at which records are sent to keep the rate.
const TICK: Duration = Duration::from_millis(20);

/// A produced record and its position.
#[derive(Debug)]
pub struct Sent {
    /// Its meaning for the oracle.
    pub meaning: Meaning,
    /// Partition and offset, once the broker has confirmed them.
    pub place: Option<(i32, i64)>,
}

/// All produced records.
pub type Sents = Arc<Mutex<Vec<Sent>>>;

/// The delivery callback, which notes the position of each record.
struct Places {
    sents: Sents,
    failure: Arc<Mutex<Option<String>>>,
}

impl ClientContext for Places {}

impl ProducerContext for Places {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        match result {
            Ok(message) => {
                let mut sents = self.sents.lock().unwrap_or_else(PoisonError::into_inner);
                sents[index].place = Some((message.partition(), message.offset()));
            }
            Err((error, _)) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// The producer of all actions.
pub struct Producer {
    kafka: ThreadedProducer<Places>,
    sents: Sents,
    failure: Arc<Mutex<Option<String>>>,
}

impl Producer {
    /// Creates the producer, which connects in the background.
    pub fn new(brokers: &str) -> Result<Self, SoakError> {
        let (sents, failure) = (Sents::default(), Arc::default());
        let places = Places { sents: Arc::clone(&sents), failure: Arc::clone(&failure) };
        let kafka = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            // After a crash of the broker, nothing is twice in the log, and a user's records are in
            // order.
            .set("enable.idempotence", "true")
            .set("reconnect.backoff.max.ms", "500")
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
            .create_with_context(places)?;
        Ok(Self { kafka, sents, failure })
    }

    /// Sends at a steady rate until `stop`, then waits until all records are in the log. Cancels
    /// `time_is_over` once all records of the options are sent.
    pub async fn run(
        self,
        mut traffic: Traffic,
        options: &Options,
        time_is_over: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(Traffic, Vec<Sent>), SoakError> {
        let begun = Instant::now();
        let mut tick = tokio::time::interval(TICK);
        let rate = f64::from(options.rate);
        let records = rate * options.time.as_secs_f64();
        let mut sent: f64 = 0.0;
        let mut waiting = None;
        while !stop.is_cancelled() {
            tick.tick().await;
            let due = begun.elapsed().as_secs_f64() * rate;
            if sent >= records {
                time_is_over.cancel();
            }
            while sent < due {
                // The traffic depends on the number of records sent and not on the time, so that a
                // seed repeats it.
                let draft = waiting.take().unwrap_or_else(|| traffic.next(sent / records));
                if self.send(&draft)? {
                    sent += 1.0;
                } else {
                    waiting = Some(draft); // the broker is away; its queue is full
                    break;
                }
            }
        }
        let sents = tokio::task::spawn_blocking(move || self.finish())
            .await
            .map_err(|error| SoakError::Broken(error.to_string()))??;
        Ok((traffic, sents))
    }

    /// Sends a record. Returns false if the queue is full.
    fn send(&self, draft: &Draft) -> Result<bool, SoakError> {
        let key = user_name(draft.user);
        let index = {
            let mut sents = self.sents.lock().unwrap_or_else(PoisonError::into_inner);
            sents.push(Sent { meaning: draft.meaning.clone(), place: None });
            sents.len() - 1
        };
        let mut record = BaseRecord::with_opaque_to(ACTIONS, index).key(&key);
        record.payload = draft.value.as_ref();
        record.headers.clone_from(&draft.headers);
        match self.kafka.send(record) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                // Only this thread adds records, so the last one is this one.
                self.sents.lock().unwrap_or_else(PoisonError::into_inner).pop();
                Ok(false)
            }
            Err((error, _)) => Err(error.into()),
        }
    }

    fn finish(self) -> Result<Vec<Sent>, SoakError> {
        self.kafka.flush(FLUSH_MAX)?;
        if let Some(failure) = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(SoakError::Broken(format!("a record was not delivered: {failure}")));
        }
        drop(self.kafka);
        let mut sents = self.sents.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut *sents))
    }
}
