//! Read models: rows folded from events, their verification and their rebuild.

pub mod core_views;
pub mod difference;
mod error;
mod fold;
pub mod rebuild;
pub mod reward_state;
pub mod task_view;
pub mod verify;
mod view;

pub use core_views::CoreViews;
pub use error::ProjectionError;
