-- The lane lock no longer updates a row. A row that every batch updates keeps a dead version per batch
-- for as long as any old snapshot is open (a dump, a long query, a standby with feedback), and every
-- probe walks them. Now a writer takes an advisory lock per lane, for its transaction, and then reads the
-- head from the index of the log: nothing is updated, so nothing grows.

-- Users whose stream stock postgres-es appended to, and whose stored state may therefore be behind the
-- log. The next batch that touches such a user folds the user from the log and removes the row.
create table external_appends (
    lane    smallint not null,
    user_id text     collate "C" not null,
    primary key (lane, user_id)
);

insert into external_appends (lane, user_id)
select e.lane, e.aggregate_id
from (select lane, aggregate_id, max(sequence) as sequence
      from events
      where lane in (select lane from lanes where outside_position is not null)
      group by lane, aggregate_id) e
left join user_states s on s.lane = e.lane and s.user_id = e.aggregate_id
where s.sequence is distinct from e.sequence;

-- Which lanes there are: made once, by `plaudit migrate`, and never changed.
alter table lanes rename to lane_numbers;
alter table lane_numbers drop column next_position, drop column outside_position;

-- Each lane with the position that its next event gets. One probe into the log's index per lane.
create view lanes as
select n.lane,
       coalesce((select e.position from events e where e.lane = n.lane order by e.position desc limit 1), 0) + 1
           as next_position
from lane_numbers n;

-- The lock of a lane, until the end of the transaction. The first key, 'PLAU' in ASCII, keeps it apart
-- from other advisory locks of the database. Writers that need several lanes ask in ascending order.
create function plaudit_lock_lane(lane smallint) returns void
language sql volatile as $$ select pg_advisory_xact_lock(1347174741, lane) $$;

-- The shape of each event that can be read: its fields, beside `type`. A migration that adds an event, or a
-- version of one, adds its rows here.
create table event_fields (
    event_type    text    collate "C" not null,
    event_version text    collate "C" not null,
    field         text    collate "C" not null,
    shape         text    not null check (shape in
        ('task', 'version', 'integer', 'text', 'flag', 'instant', 'object', 'period', 'mode', 'reward', 'rewards')),
    required      boolean not null,
    primary key (event_type, event_version, field)
);
insert into event_fields (event_type, event_version, field, shape, required) values
    ('user_updated', '1.0', 'at', 'instant', true),
    ('user_updated', '1.0', 'zone', 'text', false),
    ('user_updated', '1.0', 'attributes', 'object', false),
    ('user_updated', '1.0', 'refused', 'text', false),
    ('progress_recorded', '1.0', 'task', 'task', true),
    ('progress_recorded', '1.0', 'version', 'version', true),
    ('progress_recorded', '1.0', 'period', 'period', true),
    ('progress_recorded', '1.0', 'closes_at', 'instant', false),
    ('progress_recorded', '1.0', 'credited', 'integer', true),
    ('progress_recorded', '1.0', 'progress', 'integer', true),
    ('progress_recorded', '1.0', 'target', 'integer', true),
    ('progress_recorded', '1.0', 'at', 'instant', true),
    ('progress_recorded', '1.0', 'withheld', 'flag', false),
    ('streak_advanced', '1.0', 'task', 'task', true),
    ('streak_advanced', '1.0', 'version', 'version', true),
    ('streak_advanced', '1.0', 'period', 'period', true),
    ('streak_advanced', '1.0', 'current', 'integer', true),
    ('streak_advanced', '1.0', 'longest', 'integer', true),
    ('streak_advanced', '1.0', 'step', 'integer', true),
    ('streak_advanced', '1.0', 'at', 'instant', true),
    ('streak_broken', '1.0', 'task', 'task', true),
    ('streak_broken', '1.0', 'version', 'version', true),
    ('streak_broken', '1.0', 'length', 'integer', true),
    ('streak_broken', '1.0', 'last', 'text', true),
    ('streak_broken', '1.0', 'at', 'instant', true),
    ('milestone_reached', '1.0', 'task', 'task', true),
    ('milestone_reached', '1.0', 'version', 'version', true),
    ('milestone_reached', '1.0', 'period', 'period', true),
    ('milestone_reached', '1.0', 'milestone', 'integer', true),
    ('milestone_reached', '1.0', 'at', 'instant', true),
    ('milestone_reached', '1.0', 'mode', 'mode', true),
    ('milestone_reached', '1.0', 'rewards', 'rewards', true),
    ('task_completed', '1.0', 'task', 'task', true),
    ('task_completed', '1.0', 'version', 'version', true),
    ('task_completed', '1.0', 'period', 'text', true),
    ('task_completed', '1.0', 'at', 'instant', true),
    ('rewards_claimed', '1.0', 'task', 'task', true),
    ('rewards_claimed', '1.0', 'version', 'version', true),
    ('rewards_claimed', '1.0', 'period', 'period', true),
    ('rewards_claimed', '1.0', 'milestone', 'integer', true),
    ('rewards_claimed', '1.0', 'at', 'instant', true),
    ('rewards_claimed', '1.0', 'rewards', 'rewards', true),
    ('delivery_started', '1.0', 'reward', 'reward', true),
    ('action_too_late', '1.0', 'task', 'task', true),
    ('action_too_late', '1.0', 'version', 'version', true),
    ('action_too_late', '1.0', 'period', 'text', true),
    ('action_too_late', '1.0', 'watermark', 'instant', true),
    ('action_too_late', '1.0', 'at', 'instant', true),
    ('action_not_counted', '1.0', 'task', 'task', true),
    ('action_not_counted', '1.0', 'version', 'version', true),
    ('action_not_counted', '1.0', 'reason', 'text', true),
    ('action_not_counted', '1.0', 'at', 'instant', true);

-- Whether a JSON value has a shape. Casts that fail raise; the caller turns that into "no".
create function plaudit_has_shape(shape text, value jsonb) returns boolean
language plpgsql immutable as $$
declare
    content text := value #>> '{}';
    kind    text := jsonb_typeof(value);
begin
    case shape
    when 'text' then return kind = 'string';
    when 'task' then return kind = 'string' and content ~ '^[a-z0-9._-]{1,64}$';
    when 'flag' then return kind = 'boolean';
    when 'object' then return kind = 'object';
    when 'integer' then return kind = 'number' and content ~ '^-?[0-9]+$' and content::bigint is not null;
    when 'version' then return kind = 'number' and content ~ '^[0-9]+$' and content::bigint <= 4294967295;
    when 'mode' then return kind = 'string' and content in ('manual', 'automatic');
    when 'instant' then
        return kind = 'string'
           and content ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$'
           and content::timestamptz is not null;
    when 'period' then
        return kind = 'object' and plaudit_has_shape('text', value -> 'key')
           and value ? 'starts_at' and value ? 'ends_at'
           and (value -> 'starts_at' = 'null' or plaudit_has_shape('instant', value -> 'starts_at'))
           and (value -> 'ends_at' = 'null' or plaudit_has_shape('instant', value -> 'ends_at'));
    when 'reward' then
        return kind = 'object'
           and plaudit_has_shape('text', value -> 'grant') and (value ->> 'grant')::uuid is not null
           and plaudit_has_shape('task', value -> 'task')
           and plaudit_has_shape('version', value -> 'version')
           and plaudit_has_shape('text', value -> 'period')
           and plaudit_has_shape('integer', value -> 'milestone')
           and plaudit_has_shape('text', value -> 'line')
           and plaudit_has_shape('text', value -> 'kind')
           and plaudit_has_shape('text', value -> 'code')
           and plaudit_has_shape('integer', value -> 'amount')
           and plaudit_has_shape('instant', value -> 'reached_at');
    when 'rewards' then
        return kind = 'array'
           and (select coalesce(bool_and(plaudit_has_shape('reward', item)), true)
                from jsonb_array_elements(value) item);
    end case;
end
$$;

-- Why an event can't be read; null if it can.
create function plaudit_event_fault(event_type text, event_version text, payload json) returns text
language plpgsql stable as $$
declare
    fields jsonb;
    known  record;
    fits   boolean;
begin
    if not exists (select from event_fields f
                   where f.event_type = plaudit_event_fault.event_type
                     and f.event_version = plaudit_event_fault.event_version) then
        return format('no event %s is known in version %s', event_type, event_version);
    end if;
    fields := payload::jsonb;
    if jsonb_typeof(fields) <> 'object' or fields ->> 'type' is distinct from event_type then
        return format('the payload is not an object whose `type` is %s', event_type);
    end if;
    for known in select f.field, f.shape, f.required from event_fields f
                 where f.event_type = plaudit_event_fault.event_type
                   and f.event_version = plaudit_event_fault.event_version
                 order by f.field loop
        if not fields ? known.field then
            if known.required then
                return format('%s has no field `%s`', event_type, known.field);
            end if;
            continue;
        end if;
        -- An optional field may also be null.
        continue when not known.required and fields -> known.field = 'null' and known.shape <> 'flag'
                      and known.shape <> 'object';
        begin
            fits := plaudit_has_shape(known.shape, fields -> known.field);
        exception when data_exception then
            fits := false;
        end;
        if fits is not true then
            return format('`%s` of %s is not of the shape "%s"', known.field, event_type, known.shape);
        end if;
    end loop;
    return null;
exception when data_exception then
    return format('the payload of %s holds what JSON in PostgreSQL can''t: %s', event_type, sqlerrm);
end
$$;

-- Locks the lane, checks, gives a position, appends. A sequence that exists is 23505, as postgres-es
-- expects of a conflict; one that leaves a gap, and an event that can't be read, is 23514.
create or replace function cqrs_events_append() returns trigger
language plpgsql as $$
declare
    at_lane smallint;
    fault   text;
    last    bigint;
    place   bigint;
begin
    if new.aggregate_type is distinct from 'UserTasks' then
        raise exception 'the log holds aggregates of the type UserTasks only, got %', new.aggregate_type
            using errcode = 'check_violation';
    end if;
    if octet_length(new.aggregate_id) not between 1 and 256 or new.aggregate_id ~ '[[:cntrl:]]' then
        raise exception 'a user id is 1 to 256 bytes without control characters'
            using errcode = 'check_violation';
    end if;
    fault := plaudit_event_fault(new.event_type, new.event_version, new.payload);
    if fault is null and (json_typeof(new.metadata) <> 'object'
            or exists (select from json_each(new.metadata) m where json_typeof(m.value) <> 'string')) then
        fault := '`metadata` is not a flat object of strings';
    end if;
    if fault is not null then
        raise exception 'this event could not be read again: %', fault using errcode = 'check_violation';
    end if;

    at_lane := plaudit_lane(new.aggregate_id);
    perform plaudit_lock_lane(at_lane);
    -- Statements of their own, so that they see what was committed before the lock was had.
    select e.sequence into last from events e
    where e.lane = at_lane and e.aggregate_type = new.aggregate_type and e.aggregate_id = new.aggregate_id
    order by e.sequence desc limit 1;
    if new.sequence > coalesce(last, 0) + 1 then
        raise exception 'the next sequence of this user is %, got %', coalesce(last, 0) + 1, new.sequence
            using errcode = 'check_violation';
    end if;
    select e.position into place from events e where e.lane = at_lane order by e.position desc limit 1;
    insert into events
        (lane, aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, position)
    values
        (at_lane, new.aggregate_type, new.aggregate_id, new.sequence, new.event_type, new.event_version,
         new.payload, new.metadata, coalesce(place, 0) + 1);
    insert into external_appends (lane, user_id) values (at_lane, new.aggregate_id) on conflict do nothing;
    return new;
end
$$;

-- The dedup window in which identities of actions are remembered: `seen_actions` has one partition per
-- window. A new window is opened when the one before is seven days old, one at a time, so a database clock
-- that jumps ahead opens one window too early and never skips one.
create table dedup_window (
    the_one   boolean     primary key default true check (the_one),
    current   integer     not null,
    opened_at timestamptz not null
);
insert into dedup_window (current, opened_at)
select g, to_timestamp(g::bigint * 604800) from (select floor(extract(epoch from now()) / 604800)::int as g) w;
alter table seen_actions rename column generation to dedup_window;

-- A catalogue is known by more than its counter: after a restore the same revision may mean other tasks.
alter table catalogue add column identity uuid not null default gen_random_uuid();

-- How far each lane has applied each source partition: the highest `next_offset`. A row is added by each
-- batch and none is updated, for the reason above; upkeep deletes all but the last now and then, which a probe
-- from the end of the key never meets.
alter table lane_offsets drop constraint lane_offsets_pkey;
alter table lane_offsets add primary key (lane, topic, incarnation, partition, next_offset);
