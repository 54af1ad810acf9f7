-- The rewards that wait for budgets, in the order in which their milestones were reached. The sweeper
-- reads a lane and milestone page by page, so the position makes the order total: many users may
-- reach a milestone at the same instant. The first four columns are those of the index before.
drop index reward_state_waiting;
create index reward_state_waiting on reward_state (lane, task_id, milestone, granted_at, granted_position)
    where state = 'waiting' and ordinal = 0;
