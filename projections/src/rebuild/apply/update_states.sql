update reward_state_new r
set state = m.state, claimed_at = coalesce(m.claimed_at, r.claimed_at),
    claimed_position = coalesce(m.claimed_position, r.claimed_position)
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::timestamptz[], $5::bigint[])
     m (lane, grant_id, state, claimed_at, claimed_position)
where r.lane = m.lane and r.grant_id = m.grant_id
