-- A page of a lane's log, as text.
select position, aggregate_id, sequence, event_type, event_version, payload::text, metadata::text
from events
where lane = $1 and position > $2
order by position
limit $3
