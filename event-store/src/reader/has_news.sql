select sequence from events
where lane = $1 and aggregate_type = $2 and aggregate_id = $3 and position <= $4
order by sequence desc limit 1
