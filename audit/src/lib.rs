//! What an auditor asks: what happened to a user, what caused it, and what it looked like then.
//!
//! Each answer is one type with one serialised form, which HTTP and the command line share. Nothing
//! here writes.

mod error;
mod explanation;
mod history;
mod reconciliation;
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
pub use why::{ActionVerdict, Obstacle, PreparedWhy, Why, WhyError};
