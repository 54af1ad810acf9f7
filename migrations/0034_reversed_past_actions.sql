-- Backfills and reversals meet: a backfill does not count what was taken back, and a reversal takes back what a
-- backfill counted.

-- The past actions that a backfill did not count because they were taken back.
alter table backfills add column reversed bigint not null default 0;

-- The reversals of a user: a backfill looks for the actions that they name, however long ago they were read.
create index events_of_reversals on events (lane, aggregate_id, sequence)
    where event_type = 'action_reversed';

-- The events of a user that backfills wrote: a reversal looks for those of its action. The condition is on the text,
-- which every stored JSON has; an operator of JSON fails on text that PostgreSQL can't hold.
create index events_of_backfills on events (lane, aggregate_id, sequence)
    where metadata::text like '%"backfill"%';
