-- Grants by id, each only if it belongs to the given user.
select w.user_id, r.task_id, r.period_key, r.milestone, r.line, r.grant_id, r.kind, r.code, r.amount, r.state,
       r.granted_at, r.granted_position, r.ordinal, r.version, r.period_starts_at, r.period_ends_at,
       r.claimed_at, r.claimed_position, r.claim_until, r.lapses_at, r.lapses_as
from unnest($1::smallint[], $2::text[], $3::uuid[]) w (lane, user_id, grant_id)
cross join lateral (
    select * from reward_state
    where lane = w.lane and grant_id >= w.grant_id
    order by grant_id limit 1
) r
where r.grant_id = w.grant_id and r.user_id = w.user_id
