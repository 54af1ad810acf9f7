-- One row per user and task serves both the rules and the task screen, and a batch loads only the tasks that
-- an action can touch. What a user has not claimed is in `reward_state`, so that no state grows with it.
-- `plaudit migrate` fills these tables from the log.

drop table user_states;

truncate task_view, user_view, reward_state;

-- A user: all that is not about one task. Every user with an event has a row.
alter table user_view
    add column attributes json,
    -- The time of the latest update that was taken.
    add column updated_at timestamptz,
    -- Whether anything was ever counted.
    add column counted boolean not null default false;

alter table task_view
    -- The latest time of an action that the task counted.
    add column watermark timestamptz,
    -- The latest of the periods that were closed and forgotten.
    add column closed_key text collate "C",
    add column closed_ends_at timestamptz,
    -- How many milestones have something to claim.
    add column unclaimed_count bigint not null default 0;

alter table reward_state
    add column period_starts_at timestamptz,
    add column period_ends_at timestamptz,
    -- When the user claimed it, and where the claim stands in the log: what a repeated claim is answered with.
    add column claimed_at timestamptz,
    add column claimed_position bigint;

-- The milestones with something to claim, oldest first: the first line of each stands for all of them.
create index reward_state_claimable
    on reward_state (lane, user_id, task_id, period_starts_at nulls first, milestone)
    where state = 'claimable' and ordinal = 0;

-- The lines of a milestone that a claim names.
create index reward_state_by_milestone on reward_state (lane, user_id, task_id, period_key, milestone);

-- Projections that `plaudit migrate` still has to fill from the log. `serve` refuses to start until then.
create table projections_due (projection text collate "C" primary key);
insert into projections_due (projection)
select p from unnest(array['task_view', 'reward_state']) p where exists (select from events);
