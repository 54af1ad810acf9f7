//! Tests of the HTTP interface against a real database, request by request.

mod access;
mod acknowledgements;
mod actions;
mod audit;
mod backfills;
mod bounds;
mod claims;
mod connections;
mod corrections;
mod description;
mod dry_runs;
mod explanations;
mod freezes;
mod grants;
mod operators;
mod parked;
mod positions;
mod problems;
mod reads;
mod rebuilds;
mod streaks;
mod streams;
mod support;
mod tokens;
