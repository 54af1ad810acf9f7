-- $1: types seen today, $2: the maximum number of types. A full table accepts no more.
insert into action_fields (action_type, field, first_seen_on, last_seen_on)
select seen.action_type, '', today.on_day, today.on_day
from unnest($1::text[]) seen (action_type),
    (select (now() at time zone 'utc')::date as on_day) today
where exists (select from action_fields k where k.action_type = seen.action_type and k.field = '')
    or (select count(*) from action_fields k where k.field = '') < $2
order by seen.action_type
on conflict (action_type, field) do update set last_seen_on = excluded.last_seen_on
where action_fields.last_seen_on < excluded.last_seen_on
