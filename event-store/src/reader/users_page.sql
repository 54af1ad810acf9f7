-- A page of a lane's log in order of users.
-- The program puts a condition on the event types in the place of its name in braces.
select lane, aggregate_id, sequence, position, event_type, event_version, payload::text
from events
where lane = $1 and aggregate_type = $2 and (aggregate_id, sequence) > ($3, $4){kinds}
order by aggregate_id, sequence limit $5
