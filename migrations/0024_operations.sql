-- What operators did by hand that is no event of a user, and indexes for what they look at.

-- One row per operation, for ever: rebuilds, topics that were accepted, deliveries in bulk. Operations on one
-- user or one task are in the user's events and in `catalogue_changes`.
create table operations (
    id              uuid        primary key,
    at              timestamptz not null default clock_timestamp(),
    -- The `sub` of a token, or the account at the command line.
    operator        text        collate "C" not null,
    -- Such as projections.rebuild.
    operation       text        collate "C" not null,
    -- What it was done to, such as the name of a read model.
    subject         text        not null,
    reason          text,
    -- Of a request that may be repeated: its key, and the answer that the repeat gets.
    idempotency_key text        collate "C",
    answer          json
);
create index operations_by_time on operations (at, id);
create unique index operations_by_key on operations (operator, operation, md5(subject), idempotency_key)
    where idempotency_key is not null;

-- What is counted for metrics: the statement finds all its columns here, so that deliveries that wait by the
-- million cost no visit to their rows.
create index deliveries_backlog on deliveries (lane, channel, state, queued_at)
    where state in ('waiting', 'sent');
create index deliveries_failed on deliveries (lane, channel, settled_at)
    where state = 'failed' and pays;

-- What operators list: grants on their way, whether a delivery is queued or not. It takes the place of the index
-- of deliveries that are not delivered, which said nothing of grants that no process had queued yet.
create index reward_state_undelivered on reward_state (lane, grant_id)
    where state in ('claimed', 'delivering', 'failed');
drop index deliveries_undelivered;
