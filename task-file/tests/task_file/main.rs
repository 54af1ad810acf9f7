//! Task files as people write them.

mod budgets;
mod diffs;
mod exports;
mod files;
mod kinds;
mod unexpected_meanings;
mod warnings;
