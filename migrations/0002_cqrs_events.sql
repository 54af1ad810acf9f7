-- Stock postgres-es loads from and appends to the log through this view:
-- PostgresEventRepository::new(pool).with_tables("cqrs_events", ...).

-- The lane of a key: murmur2 as in Kafka's default partitioner, modulo the number of lanes.
create function plaudit_lane(key text) returns smallint
language plpgsql stable strict as $$
declare
    data   bytea  := convert_to(key, 'UTF8');
    length int    := octet_length(data);
    m      bigint := 1540483477;              -- 0x5bd1e995
    h      bigint := (2538058380 # length) & 4294967295; -- seed 0x9747b28c
    k      bigint;
    i      int    := 0;
begin
    while length - i >= 4 loop
        k := get_byte(data, i) | (get_byte(data, i + 1) << 8) | (get_byte(data, i + 2) << 16)
             | (get_byte(data, i + 3)::bigint << 24);
        -- The product of two 32-bit numbers can exceed bigint, so it is taken in two halves.
        k := ((k & 65535) * m + ((((k >> 16) * m) & 65535) << 16)) & 4294967295;
        k := k # (k >> 24);
        k := ((k & 65535) * m + ((((k >> 16) * m) & 65535) << 16)) & 4294967295;
        h := ((h & 65535) * m + ((((h >> 16) * m) & 65535) << 16)) & 4294967295;
        h := h # k;
        i := i + 4;
    end loop;
    if length - i >= 3 then h := h # (get_byte(data, i + 2)::bigint << 16); end if;
    if length - i >= 2 then h := h # (get_byte(data, i + 1)::bigint << 8); end if;
    if length - i >= 1 then
        h := h # get_byte(data, i);
        h := ((h & 65535) * m + ((((h >> 16) * m) & 65535) << 16)) & 4294967295;
    end if;
    h := h # (h >> 13);
    h := ((h & 65535) * m + ((((h >> 16) * m) & 65535) << 16)) & 4294967295;
    h := h # (h >> 15);
    return ((h & 2147483647) % (select count(*) from lanes))::smallint;
end
$$;

-- Read through the lanes, so that a lookup by aggregate_id probes the key once per lane instead of
-- scanning the log.
create view cqrs_events as
select e.aggregate_type, e.aggregate_id, e.sequence, e.event_type, e.event_version, e.payload, e.metadata
from lanes l
join events e on e.lane = l.lane;

-- Takes the lane row, gives a position, appends. A repeated sequence is 23505, as postgres-es
-- expects. Marks the lane: states of its users may now be behind the log.
create function cqrs_events_append() returns trigger
language plpgsql as $$
declare
    at_lane smallint := plaudit_lane(new.aggregate_id);
    place   bigint;
begin
    if new.aggregate_type is distinct from 'UserTasks' then
        raise exception 'the log holds aggregates of the type UserTasks only, got %', new.aggregate_type
            using errcode = 'check_violation';
    end if;
    update lanes
    set next_position = next_position + 1, outside_position = next_position
    where lane = at_lane
    returning next_position - 1 into place;
    insert into events
        (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
    values
        (at_lane, new.aggregate_type, new.aggregate_id, new.sequence, new.event_type, new.event_version,
         new.payload, new.metadata, place);
    return new;
end
$$;

create trigger cqrs_events_append instead of insert on cqrs_events
for each row execute function cqrs_events_append();

-- postgres-es asks for a table of snapshots by name; Plaudit writes none.
create table cqrs_snapshots (
    aggregate_type   text   not null,
    aggregate_id     text   not null,
    last_sequence    bigint not null check (last_sequence >= 0),
    current_snapshot bigint not null check (current_snapshot >= 0),
    payload          json   not null,
    primary key (aggregate_type, aggregate_id)
);
