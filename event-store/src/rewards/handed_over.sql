-- The grants among $4 that were ever handed to their payers.
select distinct payload->'reward'->>'grant' from events
where lane = $1 and aggregate_type = $2 and aggregate_id = $3 and event_type = 'delivery_started'
  and payload->'reward'->>'grant' = any($4)
