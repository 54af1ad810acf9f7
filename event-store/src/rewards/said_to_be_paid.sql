-- The grants that a payer reported as paid, although the report changed nothing.
select w.grant_id from unnest($1::smallint[], $2::text[], $3::uuid[]) w (lane, user_id, grant_id)
where exists (
    select from events
    where lane = w.lane and aggregate_type = $4 and aggregate_id = w.user_id
      and event_type = 'acknowledgement_ignored' and (payload->>'delivered')::boolean
      and lower(payload->>'grant') = w.grant_id::text)
