-- The grants that a payer reported as paid, although the report changed nothing. Its text may hold an
-- escaped NUL, which the operators of `json` refuse.
select w.grant_id from unnest($1::smallint[], $2::text[], $3::uuid[]) w (lane, user_id, grant_id)
where exists (
    select from events
    cross join lateral (select replace(payload::text, '\u0000', '\ufffd')::json) readable (payload)
    where lane = w.lane and aggregate_type = $4 and aggregate_id = w.user_id
      and event_type = 'acknowledgement_ignored' and (readable.payload->>'delivered')::boolean
      and lower(readable.payload->>'grant') = w.grant_id::text)
