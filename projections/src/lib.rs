//! Read models: rows folded from events, their verification and their rebuild.

pub mod difference;
mod error;
mod fold;
pub mod rebuild;
pub mod task_view;
pub mod verify;
mod view;

pub use error::ProjectionError;
