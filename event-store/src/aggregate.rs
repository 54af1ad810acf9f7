//! The pure rules in the shape that cqrs-es wants: for stock tools, and to hold our executor
//! against them.

use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use plaudit_domain::catalogue::Catalogue;
use plaudit_domain::user_tasks::{Command, Event, Rejection, UserTasks, decide, evolve};
use serde::{Deserialize, Serialize};

/// The aggregate type under which events are stored.
pub const AGGREGATE_TYPE: &str = "UserTasks";

/// One user's tasks. A newtype, so that the rules stay free of cqrs-es.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserTasksAggregate(pub UserTasks);

/// A fact as cqrs-es stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StoredEvent(pub Event);

impl DomainEvent for StoredEvent {
    fn event_type(&self) -> String {
        self.0.schema().0.to_owned()
    }

    fn event_version(&self) -> String {
        self.0.schema().1.to_owned()
    }
}

impl Aggregate for UserTasksAggregate {
    const TYPE: &'static str = AGGREGATE_TYPE;
    type Command = Command;
    type Event = StoredEvent;
    type Error = Rejection;
    type Services = Arc<Catalogue>; // data, not a client: deciding does no I/O

    async fn handle(
        &mut self,
        command: Command,
        catalogue: &Self::Services,
        sink: &EventSink<Self>,
    ) -> Result<(), Rejection> {
        for event in decide(&self.0, &command, catalogue)?.events {
            sink.write(StoredEvent(event), self).await;
        }
        Ok(())
    }

    fn apply(&mut self, StoredEvent(event): StoredEvent) {
        evolve(&mut self.0, &event);
    }
}
