-- A missed period that an operator filled by hand: who, and why. Absent where an action made it up.
insert into event_fields (event_type, event_version, field, shape, required) values
    ('period_made_up', '1.0', 'by', 'text', false),
    ('period_made_up', '1.0', 'reason', 'text', false);

-- When the sweeper looks at a streak next: the instant at which the next missed period is decided. It follows from
-- the user's events and from the catalogue of the moment, so that it is no part of `task_view`, which follows from
-- events alone. A wrong instant makes the sweeper look in vain, or later; it changes no event.
create table streak_looks (
    lane    smallint not null,
    user_id text     collate "C" not null,
    task_id text     collate "C" not null,
    -- Null: nothing is to come before the user's next step.
    due_at  timestamptz,
    primary key (lane, user_id, task_id)
);

-- The sweeper probes it lane by lane.
create index streak_looks_due on streak_looks (lane, due_at) where due_at is not null;

-- No period after the last step is decided before that step's period ends. The first look finds the exact instant.
insert into streak_looks (lane, user_id, task_id, due_at)
select lane, user_id, task_id, (details #>> '{streak,last,ends_at}')::timestamptz
from task_view
where details #>> '{streak,last,ends_at}' is not null;
