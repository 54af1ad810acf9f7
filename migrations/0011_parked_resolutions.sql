-- A parked record is released or discarded by an operator, and the later actions of its user wait behind it.
alter table parked
    -- How often its topic had been created again; null for HTTP requests and for records parked before.
    add column incarnation     integer,
    -- Its place among all that was parked in the lane, given with the lane held. A user's records are released
    -- in this order.
    add column ordinal         bigint  not null default 0,
    -- It waits only because an earlier record of its user is parked.
    add column waiting         boolean not null default false,
    -- What an operator decided, when, who and why. The row is kept for a while as proof, and is no longer parked.
    add column resolved_at     timestamptz,
    add column resolution      text check (resolution in ('released', 'discarded')),
    add column resolved_by     text,
    add column resolved_reason text;

update parked p set ordinal = n.ordinal
from (select lane, id, row_number() over (partition by lane order by parked_at, id) as ordinal from parked) n
where p.lane = n.lane and p.id = n.id;

create index parked_by_ordinal on parked (lane, ordinal);

-- What the later actions of a user wait behind. Nearly always empty.
create index parked_blocking on parked (lane, user_id, ordinal) where repairable and resolved_at is null;

-- What upkeep deletes.
create index parked_resolved on parked (resolved_at) where resolved_at is not null;

insert into event_fields values
    ('parked_released', '1.0', 'parked', 'text', true),
    ('parked_released', '1.0', 'by', 'text', true),
    ('parked_released', '1.0', 'reason', 'text', false),
    ('parked_released', '1.0', 'at', 'instant', true),
    ('parked_discarded', '1.0', 'parked', 'text', true),
    ('parked_discarded', '1.0', 'by', 'text', true),
    ('parked_discarded', '1.0', 'reason', 'text', true),
    ('parked_discarded', '1.0', 'at', 'instant', true);
