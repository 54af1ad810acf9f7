//! The rules of Plaudit: tasks, actions, `decide` and `evolve`.
//!
//! Nothing here does I/O, reads a clock or rolls dice: time arrives inside actions and commands.

pub mod action;
pub mod calendar;
pub mod catalogue;
pub mod cloud_event;
pub mod duration;
pub mod expression;
pub mod ids;
pub mod kinds;
pub mod lane;
mod rfc3339;
pub mod screen;
mod stored_json;
pub mod suggestion;
pub mod user_tasks;
