-- Backfills: a new task counts past actions by reading the topics again.

-- One for each task that was first published with `backfill`.
create table backfills (
    task_id       text        collate "C" primary key references tasks,
    state         text        not null default 'running' check (state in ('running', 'paused', 'done', 'cancelled')),
    -- As published: the earliest time of an action that counts, and what becomes of the rewards.
    counts_from   timestamptz not null,
    rewards       text        not null check (rewards in ('grant', 'hold', 'none')),
    created_at    timestamptz not null default now(),
    -- Once it is done or cancelled.
    finished_at   timestamptz,
    -- The process that works on it, until when, and how often it changed hands: what one that lost its lease
    -- writes is refused.
    epoch         bigint      not null default 0,
    holder        uuid,
    leased_until  timestamptz,
    -- When it was settled what is read; null: not yet.
    planned_at    timestamptz,
    -- When it last got on, and why it does not.
    progressed_at timestamptz not null default now(),
    problem       text,
    -- Past actions that moved the task, that did not, and that could not be judged.
    moved         bigint      not null default 0,
    unmoved       bigint      not null default 0,
    failed        bigint      not null default 0,
    -- The wish of an operator to grant what `rewards: hold` holds back, and when all of it was.
    release_at    timestamptz,
    release_by    text,
    release_reason text,
    released_at   timestamptz,
    released_users bigint     not null default 0,
    -- Once what only a running backfill needs is deleted.
    purged_at     timestamptz
);

-- What is read of each source partition, and how far that is.
create table backfill_partitions (
    task_id      text    collate "C" not null references backfills,
    topic        text    collate "C" not null,
    incarnation  integer not null,
    partition    integer not null,
    start_offset bigint  not null,
    next_offset  bigint  not null,
    end_offset   bigint  not null,
    -- The timestamp of the oldest record that Kafka still had, where older ones were removed that may have counted.
    kept_from    timestamptz,
    -- Whether records were removed between the plan and their reading.
    lost         bigint  not null default 0,
    primary key (task_id, topic, incarnation, partition)
) with (fillfactor = 70);

-- Who paused, resumed, cancelled or released a backfill, and why.
create table backfill_changes (
    task_id    text        collate "C" not null references backfills,
    changed_at timestamptz not null default now(),
    change     text        not null check (change in ('paused', 'resumed', 'cancelled', 'released')),
    changed_by text        not null,
    reason     text,
    primary key (task_id, changed_at)
);

-- The lanes in which it is settled what was applied before the task was published. Written by the first batch of
-- the lane that is decided by a catalogue with the task.
create table backfill_lanes (
    lane    smallint not null,
    task_id text     collate "C" not null,
    primary key (lane, task_id)
);

-- Below which offset a lane applied each source partition before the task was published: what lies at or beyond it
-- was judged with the task.
create table backfill_bounds (
    lane        smallint not null,
    task_id     text     collate "C" not null,
    topic       text     collate "C" not null,
    incarnation integer  not null,
    partition   integer  not null,
    next_offset bigint   not null,
    primary key (lane, task_id, topic, incarnation, partition)
);

-- The identities of actions that a task with a running backfill has judged, past or live. Deleted once it is over.
create table backfill_actions (
    lane     smallint not null,
    task_id  text     collate "C" not null,
    identity uuid     not null,
    primary key (lane, task_id, identity)
);

insert into event_fields (event_type, event_version, field, shape, required) values
    ('progress_recorded', '1.0', 'held', 'flag', false),
    ('backfill_released', '1.0', 'task', 'task', true),
    ('backfill_released', '1.0', 'version', 'version', true),
    ('backfill_released', '1.0', 'period', 'text', true),
    ('backfill_released', '1.0', 'by', 'text', true),
    ('backfill_released', '1.0', 'reason', 'text', false),
    ('backfill_released', '1.0', 'at', 'instant', true);
