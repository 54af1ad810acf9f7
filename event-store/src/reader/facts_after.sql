-- A page of a lane's log, in order. The condition: see users_page.sql.
select aggregate_id, sequence, position, event_type, event_version, payload::text
from events
where lane = $1 and position > $2 and position <= $3 and aggregate_type = $4{kinds}
order by position limit $5
