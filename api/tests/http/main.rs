//! The HTTP interface against a real database: what the contract says, request by request.

mod access;
mod acknowledgements;
mod actions;
mod audit;
mod bounds;
mod claims;
mod connections;
mod description;
mod grants;
mod operators;
mod problems;
mod reads;
mod rebuilds;
mod support;
mod tokens;
