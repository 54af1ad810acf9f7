//! The pure rules as a cqrs-es aggregate: for stock tools, and to compare our executor with them.

use std::sync::Arc;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use plaudit_domain::action::Action;
use plaudit_domain::catalogue::{BudgetsUsed, Catalogue};
use plaudit_domain::user_tasks::{
    ActionInput, Command, CommandRejection, Event, Seed, UserTasks, decide_action, decide_command,
    evolve,
};
use serde::{Deserialize, Serialize};

/// The aggregate type under which events are stored.
pub const AGGREGATE_TYPE: &str = "UserTasks";

/// One user's tasks. A newtype, so that the rules stay free of cqrs-es.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserTasksAggregate(pub UserTasks);

/// The commands of the aggregate. Stock cqrs-es has one type for all commands, and any of them may
/// be rejected; actions never are.
#[derive(Debug, Clone, PartialEq)]
pub enum AggregateCommand {
    /// Decide an action.
    Action {
        /// The action.
        action: Action,
        /// The seed of all randomness in the decision.
        seed: Seed,
    },
    /// Decide a command.
    Command(Command),
}

/// An event as cqrs-es stores it.
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
    type Command = AggregateCommand;
    type Event = StoredEvent;
    type Error = CommandRejection;
    type Services = Arc<Catalogue>; // data, not a client: deciding does no I/O

    async fn handle(
        &mut self,
        command: AggregateCommand,
        catalogue: &Self::Services,
        sink: &EventSink<Self>,
    ) -> Result<(), CommandRejection> {
        let used = BudgetsUsed::default();
        let decision = match &command {
            AggregateCommand::Action { action, seed } => {
                let input = ActionInput { action, seed: *seed, credited: None };
                decide_action(&self.0, input, catalogue, &used)
            }
            AggregateCommand::Command(command) => {
                decide_command(&self.0, command, catalogue, &used)?
            }
        };
        for event in decision.events {
            sink.write(StoredEvent(event), self).await;
        }
        Ok(())
    }

    fn apply(&mut self, StoredEvent(event): StoredEvent) {
        evolve(&mut self.0, &event);
    }
}
