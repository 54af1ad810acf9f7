-- What stock postgres-es appends is checked as Plaudit reads it: by its text. `jsonb` is not that text: it drops
-- repeated names and rewrites numbers, so that the check accepted events that no program could read again.

-- Which shapes there are is what plaudit_fits knows; a test appends an event of each.
alter table event_fields drop constraint if exists event_fields_shape_check;
alter table event_fields add constraint event_fields_shape_check check (shape <> '');
update event_fields set shape = 'terms' where event_type = 'milestone_reached' and field = 'terms';
update event_fields set shape = 'budgeted' where field = 'budgeted';

-- Why a JSON text can't be read by a program; null if it can. Programs refuse an object that has a name twice,
-- numbers beyond what a double holds, and more than 127 objects and arrays inside each other; the cast to jsonb
-- refuses text that is not Unicode, and NUL, which no column of text holds. It raises; the caller turns that
-- into a reason.
create function plaudit_json_fault(value json) returns text
language sql immutable as $$
    select case
        when value::jsonb is null then null
        else (
            with recursive parts (part, depth) as (
                select value, 1
                union all
                select inner_part.part, p.depth + 1
                from parts p
                cross join lateral (
                    select e.value from json_each(case json_typeof(p.part) when 'object' then p.part else '{}' end) e
                    union all
                    select e.value
                    from json_array_elements(case json_typeof(p.part) when 'array' then p.part else '[]' end) e
                ) inner_part (part)
                where p.depth <= 127 and json_typeof(p.part) in ('object', 'array')
            )
            select min(case
                when json_typeof(part) in ('object', 'array') and depth > 127
                    then 'more than 127 objects and arrays inside each other'
                when json_typeof(part) = 'object'
                     and (select count(*) > count(distinct name) from json_object_keys(part) name)
                    then 'a name twice in an object'
                when json_typeof(part) = 'number' and abs((part #>> '{}')::numeric) > 1.7976931348623157e308
                    then 'a number beyond 1.7976931348623157e308'
            end)
            from parts
        )
    end
$$;

-- Whether an object has these fields at most.
create function plaudit_only(value json, variadic names text[]) returns boolean
language sql immutable as $$
    select json_typeof(value) = 'object'
       and not exists (select from json_object_keys(value) name where name <> all (names))
$$;

-- Whether a field is absent, or null, or of a shape.
create function plaudit_fits_if_there(shape text, value json) returns boolean
language plpgsql immutable as $$
begin
    return value is null or json_typeof(value) = 'null' or plaudit_fits(shape, value);
end
$$;

-- Whether a JSON value has a shape, as programs read it. Casts that fail raise; the caller turns that into "no".
create function plaudit_fits(shape text, value json) returns boolean
language plpgsql immutable as $$
declare
    content text := value #>> '{}';
    kind    text := json_typeof(value);
begin
    case shape
    when 'text' then return kind = 'string';
    when 'task' then return kind = 'string' and content ~ '^[a-z0-9._-]{1,64}$';
    when 'flag' then return kind = 'boolean';
    when 'object' then return kind = 'object';
    -- As written: 1e2, 1.0 and -0 are numbers, but programs read them as floats.
    when 'integer' then
        return kind = 'number' and content ~ '^(0|-?[1-9][0-9]*)$' and content::bigint is not null;
    when 'version' then
        return kind = 'number' and content ~ '^(0|[1-9][0-9]*)$' and content::bigint <= 4294967295;
    when 'mode' then return kind = 'string' and content in ('manual', 'automatic');
    when 'protection' then return kind = 'string' and content in ('pause', 'freeze', 'grace');
    -- PostgreSQL knows 24:00, a second 60 and years that timestamps of programs don't.
    when 'instant' then
        return kind = 'string'
           and content ~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?'
                          '(Z|[+-][0-9]{2}:[0-5][0-9])$')
           and content::timestamptz < '9999-12-30T22:00:00Z';
    when 'uuid' then
        return kind = 'string' and content ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
    when 'period' then
        return kind = 'object'
           and plaudit_fits('text', value -> 'key')
           and value -> 'starts_at' is not null and plaudit_fits_if_there('instant', value -> 'starts_at')
           and value -> 'ends_at' is not null and plaudit_fits_if_there('instant', value -> 'ends_at');
    when 'reward' then
        return kind = 'object'
           and plaudit_fits('uuid', value -> 'grant')
           and plaudit_fits('task', value -> 'task')
           and plaudit_fits('version', value -> 'version')
           and plaudit_fits('text', value -> 'period')
           and plaudit_fits('integer', value -> 'milestone')
           and plaudit_fits('text', value -> 'line')
           and plaudit_fits('text', value -> 'kind')
           and plaudit_fits('text', value -> 'code')
           and plaudit_fits('integer', value -> 'amount')
           and plaudit_fits('instant', value -> 'reached_at');
    when 'rewards' then
        return kind = 'array'
           and (select coalesce(bool_and(coalesce(plaudit_fits('reward', e.value), false)), true)
                from json_array_elements(value) e);
    when 'terms' then
        return plaudit_only(value, 'claim_until', 'at_period_end')
           and plaudit_fits_if_there('instant', value -> 'claim_until')
           and plaudit_fits_if_there('period end', value -> 'at_period_end');
    when 'period end' then
        return plaudit_only(value, 'at', 'then')
           and plaudit_fits('instant', value -> 'at')
           and json_typeof(value -> 'then') = 'string'
           and value ->> 'then' in ('keep', 'grant', 'forfeit');
    when 'budgeted' then
        return plaudit_only(value, 'waiting', 'refused', 'lines')
           and (value -> 'waiting' is null or plaudit_fits('rewards', value -> 'waiting'))
           and (value -> 'refused' is null or plaudit_fits('rewards', value -> 'refused'))
           and json_typeof(value -> 'lines') = 'object'
           and (select coalesce(bool_and(coalesce(plaudit_fits('allotment', e.value), false)), true)
                from json_each(value -> 'lines') e);
    when 'allotment' then
        return kind = 'object'
           and plaudit_fits('task', value -> 'budget')
           and plaudit_fits('text', value -> 'window')
           and plaudit_fits('integer', value -> 'taken')
           and json_typeof(value -> 'outcome') = 'string'
           and value ->> 'outcome' in ('granted', 'substituted', 'refused', 'waiting');
    when 'protected' then
        return kind = 'array'
           and (select coalesce(bool_and(coalesce(plaudit_only(e.value, 'period', 'by')
                                                  and plaudit_fits('period', e.value -> 'period')
                                                  and plaudit_fits('protection', e.value -> 'by'), false)), true)
                from json_array_elements(value) e);
    when 'freeze changes' then
        return kind = 'array'
           and (select coalesce(bool_and(coalesce(plaudit_only(e.value, 'at', 'by')
                                                  and plaudit_fits('instant', e.value -> 'at')
                                                  and plaudit_fits('integer', e.value -> 'by'), false)), true)
                from json_array_elements(value) e);
    when 'stretches' then
        return kind = 'array' and json_array_length(value) > 0
           and (select bool_and(coalesce(plaudit_only(e.value, 'from', 'last', 'count', 'before', 'cycle_from')
                                         and e.value -> 'from' is not null
                                         and plaudit_fits_if_there('instant', e.value -> 'from')
                                         and plaudit_fits('period', e.value -> 'last')
                                         and plaudit_fits('integer', e.value -> 'count')
                                         and (e.value -> 'before' is null
                                              or plaudit_fits('integer', e.value -> 'before'))
                                         and plaudit_fits_if_there('instant', e.value -> 'cycle_from'), false))
                from json_array_elements(value) e);
    when 'rejudged' then
        return plaudit_only(value, 'step', 'stretches', 'freeze_changes')
           and plaudit_fits('integer', value -> 'step')
           and plaudit_fits('stretches', value -> 'stretches')
           and (value -> 'freeze_changes' is null or plaudit_fits('freeze changes', value -> 'freeze_changes'));
    -- Shapes that another migration has added.
    else return plaudit_has_shape(shape, value::jsonb);
    end case;
end
$$;

-- Why an event can't be read; null if it can.
create or replace function plaudit_event_fault(event_type text, event_version text, payload json) returns text
language plpgsql stable as $$
declare
    fault text;
    given json;
    known record;
    fits  boolean;
begin
    if not exists (select from event_fields f
                   where f.event_type = plaudit_event_fault.event_type
                     and f.event_version = plaudit_event_fault.event_version) then
        return format('no event %s is known in version %s', event_type, event_version);
    end if;
    fault := plaudit_json_fault(payload);
    if fault is not null then
        return format('the payload of %s holds %s', event_type, fault);
    end if;
    if json_typeof(payload) <> 'object' or json_typeof(payload -> 'type') is distinct from 'string'
       or payload ->> 'type' is distinct from event_type then
        return format('the payload is not an object whose `type` is %s', event_type);
    end if;
    for known in select f.field, f.shape, f.required from event_fields f
                 where f.event_type = plaudit_event_fault.event_type
                   and f.event_version = plaudit_event_fault.event_version
                 order by f.field loop
        given := payload -> known.field;
        if given is null then
            if known.required then
                return format('%s has no field `%s`', event_type, known.field);
            end if;
            continue;
        end if;
        -- An optional field may also be null.
        continue when not known.required and json_typeof(given) = 'null'
                      and known.shape not in ('flag', 'object', 'terms');
        begin
            fits := plaudit_fits(known.shape, given);
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

-- Why metadata can't be read; null if it can.
create function plaudit_metadata_fault(metadata json) returns text
language plpgsql immutable as $$
begin
    if json_typeof(metadata) is distinct from 'object' then
        return '`metadata` is not a flat object of strings';
    end if;
    if plaudit_json_fault(metadata) is not null then
        return format('`metadata` holds %s', plaudit_json_fault(metadata));
    end if;
    if exists (select from json_each(metadata) m where json_typeof(m.value) <> 'string') then
        return '`metadata` is not a flat object of strings';
    end if;
    return null;
exception when data_exception then
    return format('`metadata` holds what JSON in PostgreSQL can''t: %s', sqlerrm);
end
$$;

-- As before, and metadata is checked by its text. Control characters are those of Unicode: what [[:cntrl:]]
-- matches follows from the collation of the database.
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
    if octet_length(new.aggregate_id) not between 1 and 256
       or new.aggregate_id ~ '[\u0001-\u001f\u007f-\u009f]' then
        raise exception 'a user id is 1 to 256 bytes without control characters'
            using errcode = 'check_violation';
    end if;
    fault := coalesce(plaudit_event_fault(new.event_type, new.event_version, new.payload),
                      plaudit_metadata_fault(new.metadata));
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
