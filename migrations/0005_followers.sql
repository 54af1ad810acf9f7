-- Followers of the log: who reads which lanes, and what they left out.

-- The epoch of the lease under which a checkpoint may move. Whoever takes a lease raises it in the
-- same transaction, so that a process that was frozen and wakes up moves nothing any more.
alter table follower_checkpoints add column epoch bigint not null default 0;

-- Processes that follow at the moment; the lanes are shared among them. A row that has expired
-- belongs to a process that is gone or frozen.
create table follower_members (
    follower   text        collate "C" not null,
    member     uuid        not null,
    expires_at timestamptz not null,
    primary key (follower, member)
) with (fillfactor = 50);

-- The lanes in groups: a lane belongs to the group of its number modulo the follower's groups. The
-- rows are made when a follower first runs; their number is fixed from then on.
create table follower_leases (
    follower    text        collate "C" not null,
    lane_group  smallint    not null check (lane_group >= 0),
    epoch       bigint      not null default 0,
    member      uuid,
    expires_at  timestamptz,
    primary key (follower, lane_group)
) with (fillfactor = 50);

-- Events that a follower could not read and went past: only their user is affected. They are read
-- again whenever a process takes the lane, and go once they can be read.
create table follower_skipped (
    lane       smallint    not null,
    follower   text        collate "C" not null,
    position   bigint      not null,
    user_id    text        collate "C" not null,
    sequence   bigint      not null,
    reason     text        not null,
    skipped_at timestamptz not null default now(),
    primary key (lane, follower, position)
);

-- Users whose events a rebuild could not read: the new version keeps their rows as they were.
create table rebuild_skipped (
    projection text     collate "C" not null,
    lane       smallint not null,
    user_id    text     collate "C" not null,
    reason     text     not null,
    primary key (projection, lane, user_id)
);
