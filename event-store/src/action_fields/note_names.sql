-- $1, $2: types and field names seen today, $3: the maximum number of names per type. A full type
-- accepts no more, nor does a type that did not fit itself.
insert into action_fields (action_type, field, first_seen_on, last_seen_on)
select seen.action_type, seen.field, today.on_day, today.on_day
from unnest($1::text[], $2::text[]) seen (action_type, field),
    (select (now() at time zone 'utc')::date as on_day) today
where exists (select from action_fields k where k.action_type = seen.action_type and k.field = seen.field)
    or exists (select from action_fields k where k.action_type = seen.action_type and k.field = '')
    and (select count(*) from action_fields k where k.action_type = seen.action_type and k.field <> '') < $3
order by seen.action_type, seen.field
on conflict (action_type, field) do update set last_seen_on = excluded.last_seen_on
where action_fields.last_seen_on < excluded.last_seen_on
