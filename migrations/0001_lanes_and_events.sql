-- One row per lane. Its lock is the order of the lane: whoever appends holds it until commit, so
-- positions are contiguous and a reader never meets a gap. Kept narrow: every batch updates it.
-- The rows are made once, by `plaudit migrate`; their number is fixed from then on.
create table lanes (
    lane             smallint primary key,
    next_position    bigint   not null default 1 check (next_position >= 1),
    -- Where stock postgres-es last appended through cqrs_events. From then on a batch compares the
    -- sequence of each user of this lane with the log, because a state may be behind it.
    outside_position bigint
) with (fillfactor = 10);

-- The log. Rows are never changed. The seven columns that postgres-es knows, and ours.
-- Every key begins with the lane, so that the table can be distributed by it.
create table events (
    lane           smallint    not null,
    aggregate_type text        collate "C" not null,
    aggregate_id   text        collate "C" not null,
    sequence       bigint      not null check (sequence >= 1),
    event_type     text        collate "C" not null,
    event_version  text        collate "C" not null,
    payload        json        not null,
    metadata       json        not null,
    position       bigint      not null,
    -- The clock when the row is written, with the lane held, so that later events are never earlier.
    -- The transaction's own time would be from before it waited for the lane.
    recorded_at    timestamptz not null default clock_timestamp(),
    primary key (lane, aggregate_type, aggregate_id, sequence)
);
create unique index events_by_position on events (lane, position);

-- The fold of each user's stream: a cache of the log that can be rebuilt. Updated in place by
-- every batch, so pages keep room for the next version of a row and no column is indexed.
create table user_states (
    lane     smallint not null,
    user_id  text     collate "C" not null,
    sequence bigint   not null,
    state    json     not null,
    primary key (lane, user_id)
) with (fillfactor = 60);

-- Identities of actions that were judged, in generations of seven days: an identity is looked for
-- in the running generation and the one before, so it is known for seven to fourteen days. Older
-- generations are dropped as whole partitions, which bounds the size to the rate of actions times
-- fourteen days.
create table seen_actions (
    lane       smallint not null,
    generation integer  not null,
    identity   uuid     not null,
    primary key (lane, identity, generation)
) partition by list (generation);

-- What each lane has applied of each source partition: everything below next_offset. Written in
-- the transaction of the batch, so reading a partition again changes nothing.
create table lane_offsets (
    lane        smallint not null,
    topic       text     collate "C" not null,
    incarnation integer  not null,
    partition   integer  not null,
    next_offset bigint   not null,
    primary key (lane, topic, incarnation, partition)
) with (fillfactor = 50);

-- A topic that was deleted and created again begins a new incarnation when an operator accepts it.
create table source_topics (
    topic       text    collate "C" primary key,
    incarnation integer not null,
    accepted_at timestamptz not null default now()
);

-- Below this offset all lanes have applied all of a source partition. Used to notice records that
-- were removed before they were read.
create table source_partitions (
    topic       text    collate "C" not null,
    incarnation integer not null,
    partition   integer not null,
    next_offset bigint  not null,
    primary key (topic, incarnation, partition)
) with (fillfactor = 50);

-- What could not be understood or applied, with all that is needed to try again.
create table parked (
    lane       smallint    not null,
    id         uuid        not null,
    reason     text        not null,
    repairable boolean     not null,
    user_id    text        collate "C",
    topic      text        collate "C",
    partition  integer,
    "offset"   bigint,
    headers    json        not null,
    bytes      bytea       not null,
    parked_at  timestamptz not null default now(),
    primary key (lane, id)
);
create index parked_by_time on parked (parked_at, id);

-- Receipts by Idempotency-Key: a retried claim gets the first answer. A list: one for a claim of one
-- task's milestone, any number for a claim of everything, whose task is ''.
create table claim_keys (
    lane            smallint    not null,
    user_id         text        collate "C" not null,
    task_id         text        collate "C" not null,
    idempotency_key text        collate "C" not null,
    receipts        json        not null,
    claimed_at      timestamptz not null default now(),
    primary key (lane, user_id, task_id, idempotency_key)
);

-- How far each follower has read each lane, inclusive. Moved in the transaction of its rows.
create table follower_checkpoints (
    follower text     collate "C" not null,
    lane     smallint not null,
    position bigint   not null,
    primary key (lane, follower)
);

-- The catalogue. One row in `catalogue`: its revision rises with every change.
create table catalogue (
    the_one  boolean primary key default true check (the_one),
    revision bigint  not null
);
insert into catalogue (revision) values (0);

create table tasks (
    task_id    text        collate "C" primary key,
    status     text        not null default 'active' check (status in ('active', 'paused', 'retired')),
    changed_at timestamptz not null default now()
);

-- Published versions are never changed.
create table task_versions (
    task_id      text        collate "C" not null references tasks,
    version      integer     not null check (version >= 1),
    definition   json        not null,
    published_at timestamptz not null default now(),
    published_by text        not null,
    primary key (task_id, version)
);

-- The history can't be rewritten by the role that serves: the owner gives up the right to. (A
-- superuser keeps it; run Plaudit with a role that is none.)
do $$
begin
    execute format('revoke update, delete, truncate on events, task_versions from %I', current_user);
end
$$;

-- What the delivery of rewards looks for, without reading everything in between.
create index events_with_rewards on events (lane, position)
where event_type in ('milestone_reached', 'rewards_claimed');
