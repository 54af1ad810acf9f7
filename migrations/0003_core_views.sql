-- Core views, folded in the transaction of each batch. They can be rebuilt from the log at any time.

-- Where a user's days follow from; no row for users who never told a zone.
create table user_view (
    lane    smallint not null,
    user_id text     collate "C" not null,
    zones   json     not null,
    primary key (lane, user_id)
) with (fillfactor = 80);

-- One row per user and touched task: its newest period in columns; what few users have, such as
-- reached milestones, streaks and further open periods, in `details`.
create table task_view (
    lane         smallint not null,
    user_id      text     collate "C" not null,
    task_id      text     collate "C" not null,
    -- When the last milestone was first reached, in any period.
    completed_at timestamptz,
    -- The newest period; all of it is null for a task that has none.
    version      integer,
    period_key   text     collate "C",
    starts_at    timestamptz,
    ends_at      timestamptz,
    closes_at    timestamptz,
    progress     bigint,
    completed    boolean,
    details      json,
    primary key (lane, user_id, task_id)
) with (fillfactor = 60);

-- One row per granted reward line, for ever. `granted_position` and `ordinal` are the order in
-- which a user earned them; `version` is the one of the task that promised it.
create table reward_state (
    lane             smallint    not null,
    user_id          text        collate "C" not null,
    task_id          text        collate "C" not null,
    period_key       text        collate "C" not null,
    milestone        bigint      not null,
    line             text        collate "C" not null,
    grant_id         uuid        not null,
    kind             text        not null,
    code             text        not null,
    amount           bigint      not null,
    state            text        not null,
    granted_at       timestamptz not null,
    granted_position bigint      not null,
    ordinal          integer     not null,
    version          integer     not null,
    primary key (lane, user_id, granted_position, ordinal)
) with (fillfactor = 80);
create unique index reward_state_by_grant on reward_state (lane, grant_id);

-- Rebuilds, one row per projection: the one that runs, or the last that ran. The rate is counted
-- from `resumed_at` on, when `resumed_events` events had been folded: what lies before may hold
-- pauses and restarts.
create table rebuilds (
    projection     text        collate "C" primary key,
    state          text        not null check (state in ('running', 'paused', 'cancelled', 'swapped', 'failed')),
    phase          text        not null check (phase in ('loading', 'indexing', 'catching_up', 'comparing', 'swapping', 'done')),
    started_at     timestamptz not null default now(),
    resumed_at     timestamptz not null default now(),
    resumed_events bigint      not null default 0,
    finished_at    timestamptz,
    -- Rows that differed from the version that was replaced.
    differences    bigint,
    error          text
);

-- Progress of a rebuild by lane: users up to and including `user_id` are loaded; the log up to and
-- including `position` is in the new version of those users. Moved in the transaction of the rows.
create table rebuild_lanes (
    projection text     collate "C" not null,
    lane       smallint not null,
    user_id    text     collate "C",
    position   bigint   not null,
    loaded     boolean  not null default false,
    users      bigint   not null default 0,
    events     bigint   not null default 0,
    primary key (projection, lane)
);
