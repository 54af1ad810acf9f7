-- The grants among $4 that were ever handed to their payers. A payer that reported a failure had it, even if no event
-- says that the delivery started: a topic whose payer confirms nothing needs none. Its reason may hold an escaped NUL,
-- which the operators of `json` refuse.
select distinct replace(payload::text, '\u0000', '\ufffd')::json->'reward'->>'grant' from events
where lane = $1 and aggregate_type = $2 and aggregate_id = $3
  and (event_type = 'delivery_started' or (event_type = 'reward_failed' and metadata->>'action_id' is not null))
  and replace(payload::text, '\u0000', '\ufffd')::json->'reward'->>'grant' = any($4)
