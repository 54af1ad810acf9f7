-- How long rewards can be claimed, and what becomes of those that nobody claims.

alter table reward_state
    -- The first instant at which it can no longer be claimed.
    add column claim_until timestamptz,
    -- The change that comes by itself while it is claimable, and from when on.
    add column lapses_at timestamptz,
    add column lapses_as text check (lapses_as in ('expired', 'forfeited', 'granted'));

-- What is due in a lane, earliest first: the sweeper looks here. The first line of a milestone stands for all.
create index reward_state_lapses on reward_state (lane, lapses_at)
    where state = 'claimable' and ordinal = 0 and lapses_at is not null;

-- What is due of one task: a screen doesn't count it, recorded or not.
create index reward_state_lapses_of_task on reward_state (lane, user_id, task_id, lapses_at)
    where state = 'claimable' and ordinal = 0 and lapses_at is not null;

insert into event_fields (event_type, event_version, field, shape, required)
select 'milestone_reached', '1.0', 'terms', 'object', false
union all
select e.event_type, '1.0', f.field, f.shape, true
from unnest(array['rewards_expired', 'rewards_forfeited', 'rewards_granted']) e (event_type)
cross join (values ('task', 'task'), ('version', 'version'), ('period', 'period'), ('milestone', 'integer'),
                   ('at', 'instant'), ('rewards', 'rewards')) f (field, shape);
