//! Webhooks: posts grants to the endpoints of payers, signed by the Standard Webhooks
//! specification.

pub(crate) mod address;
mod circuit;
mod client;
mod posts;
mod rate;
mod sender;
mod signature;

pub use client::{Client, Posted, Reply};
pub(crate) use sender::WebhookSender;
pub use signature::{Secret, signature};
