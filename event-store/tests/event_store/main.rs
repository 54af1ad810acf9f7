//! The executor, the queue and each table on a real `PostgreSQL`.

mod amnesties;
mod backfills;
mod bisect;
mod budgets;
mod catalogue_fit;
mod corrections;
mod counting;
mod damage;
mod dedup_windows;
mod distinct_sets;
mod documentation;
mod executor;
mod golden;
mod lanes;
mod lapses;
mod parked;
mod plans;
mod random_rewards;
mod recent_users;
mod source_files;
mod stock_cqrs;
mod stock_refusals;
mod streak_sweeps;
mod support;
mod unanswered_commits;
mod upkeep;
