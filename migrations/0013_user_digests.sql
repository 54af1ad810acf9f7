-- The hash chain of each user's events: the digest of an event covers the digest of the one before. A follower
-- writes it a moment after the events, and `audit verify` makes it again from the log.
create table user_digests (
    lane     smallint not null,
    user_id  text     collate "C" not null,
    -- The last event that is covered.
    sequence bigint   not null,
    -- SHA-256; how it is made is in digests/src/chain.rs.
    digest   bytea    not null,
    primary key (lane, user_id)
) with (fillfactor = 70);

insert into follower_checkpoints (follower, lane, position) select 'digests', lane, 0 from lane_numbers
on conflict do nothing;
