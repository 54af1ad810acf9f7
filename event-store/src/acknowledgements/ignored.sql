-- The grants named by acknowledgements whose first event records that they were ignored. Two key
-- probes each. A payer's text may hold an escaped NUL, which the operators of `json` refuse.
select a.identity, e.payload->>'grant'
from unnest($1::smallint[], $2::text[], $3::uuid[]) a (lane, user_id, identity)
cross join lateral (
    select sequence from seen_actions
    where lane = a.lane and identity = a.identity and dedup_window in ($4, $4 - 1) and sequence is not null limit 1
) s
cross join lateral (
    select replace(payload::text, '\u0000', '\ufffd')::json as payload from events
    where lane = a.lane and aggregate_type = $5 and aggregate_id = a.user_id and sequence = s.sequence
      and event_type = 'acknowledgement_ignored'
    limit 1
) e
where (e.payload->>'delivered')::boolean
