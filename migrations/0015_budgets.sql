-- Budgets: caps on what is granted to all users together.

-- What was granted of a window of a budget, as a running total: the head of a window is its last row. A batch that
-- grants something adds one row and updates none, so that an old snapshot makes nothing slower; upkeep deletes the
-- rows below the head. The key is the last guard, should two batches ever add to one total. This table belongs to
-- no lane: where the others are distributed, it stays on the coordinator.
create table budget_takes (
    budget_id  text   collate "C" not null,
    window_key text   collate "C" not null,
    used       bigint not null check (used > 0),
    primary key (budget_id, window_key, used)
);

-- Who waits for a budget, those who reached their milestone first in front: the sweeper looks here. The first line
-- of a milestone stands for all.
create index reward_state_waiting on reward_state (lane, task_id, milestone, granted_at)
    where state = 'waiting' and ordinal = 0;

-- What a user waits for.
create index reward_state_waiting_of_user on reward_state (lane, user_id, granted_position)
    where state = 'waiting' and ordinal = 0;

insert into event_fields (event_type, event_version, field, shape, required) values
    ('milestone_reached', '1.0', 'budgeted', 'object', false),
    ('rewards_granted', '1.0', 'budgeted', 'object', false);
