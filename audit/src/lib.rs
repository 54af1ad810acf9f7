//! Answers for auditors: the history of a user, the causes of events and grants, and past states.
//!
//! Each answer is one type with one serialised form, shared by HTTP and the command line. This
//! crate writes nothing.

mod error;
mod explanation;
mod history;
mod reconciliation;
mod seen_values;
mod simulation;
mod state;
mod why;

pub use error::AuditError;
pub use explanation::{CommandEntry, DeliveryEntry, Explanation, GrantEntry, Message};
pub use history::{Cause, CausingAction, EventEntry, History, HistoryQuery, SourcePosition};
pub use reconciliation::{
    Deadlines, Difference, DifferenceKind, FileFormat, Payments, PaymentsFault, Reconciliation,
};
pub use simulation::{
    PreparedSimulation, SimulatedAction, SimulatedTask, Simulation, SimulationError,
    SimulationInput, UnmovedTask,
};
pub use state::{InvalidMoment, Moment, StateAt};
pub use why::{ActionVerdict, Obstacle, PreparedWhy, Why, WhyError, WhyInput};
