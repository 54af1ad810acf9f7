select aggregate_id, position from events where lane = $1 and position > $2
order by position limit $3
