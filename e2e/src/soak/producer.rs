//! A stock Kafka producer, and the memory of what it brought into the log.

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

/// A broker that was killed is back long before.
const FLUSH_MAX: Duration = Duration::from_secs(120);
/// The pace is kept in steps of this.
const TICK: Duration = Duration::from_millis(20);

/// A record, and where it came to lie.
#[derive(Debug)]
pub struct Sent {
    /// What it is to the oracle.
    pub meaning: Meaning,
    /// Partition and offset, once the broker has said so.
    pub place: Option<(i32, i64)>,
}

/// All that was produced.
pub type Sents = Arc<Mutex<Vec<Sent>>>;

/// Notes where the records came to lie.
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
    /// Connects, in its own time.
    pub fn new(brokers: &str) -> Result<Self, SoakError> {
        let (sents, failure) = (Sents::default(), Arc::default());
        let places = Places { sents: Arc::clone(&sents), failure: Arc::clone(&failure) };
        let kafka = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            // Through the broker's crash: nothing twice in the log, and a user's records in order.
            .set("enable.idempotence", "true")
            .set("reconnect.backoff.max.ms", "500")
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
            .create_with_context(places)?;
        Ok(Self { kafka, sents, failure })
    }

    /// Sends at a steady rate until `stop`, then waits until everything lies in the log. Says when
    /// the time of the options is over.
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
                // The pace is left out of it, so that a seed gives the same traffic again.
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

    /// Whether there was room for it.
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
                // Only this thread adds, so ours is the last.
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
