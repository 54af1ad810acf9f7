//! The HTTP interface against a real database: what the contract says, request by request.

mod access;
mod actions;
mod audit;
mod claims;
mod description;
mod operators;
mod over_the_wire;
mod problems;
mod reads;
mod rebuilds;
mod support;
mod tokens;
