-- All types of the last $2 days, and the field names of those in $1, with the day since which they
-- have been noted.
select action_type, field, greatest(first_seen_on, today.on_day - $2::int)::text as since
from action_fields, (select (now() at time zone 'utc')::date as on_day) today
where (field = '' or action_type = any ($1::text[])) and last_seen_on >= today.on_day - $2::int
