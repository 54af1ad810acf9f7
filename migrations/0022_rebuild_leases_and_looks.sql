-- When upkeep last looked whether the open dedup window is old enough. It looks every minute. A gap that is
-- longer is a clock that jumped ahead, or a time in which no process ran, and does not count towards the age.
alter table dedup_window add column looked_at timestamptz not null default now();

-- Who may rebuild a view, until when. Another process takes a lease that has expired and raises its epoch; a
-- process that froze meanwhile finds another epoch and changes nothing.
create table rebuild_leases (
    projection   text        collate "C" primary key,
    epoch        bigint      not null,
    -- Rises whenever the lease is taken or renewed: who waits for it sees that its holder is at work.
    renewals     bigint      not null,
    leased_until timestamptz not null
);
