-- The reversals that may name some actions: each holds the action's id as JSON text. One probe of a partial index each.
select a.place, e.event_type, e.event_version, e.payload::text
from unnest($1::smallint[], $2::text[], $3::text[]) with ordinality a (lane, user_id, id, place)
cross join lateral (
    select event_type, event_version, payload from events
    where lane = a.lane and aggregate_id = a.user_id and event_type = 'action_reversed'
      and strpos(payload::text, a.id) > 0
) e
