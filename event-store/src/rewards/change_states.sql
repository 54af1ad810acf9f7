-- Finds each row by one probe, then updates it by its ctid. The order and the range keep the
-- planner on the index by grant, even if it plans on an empty table.
update reward_state r
set state = f.state,
    claimed_at = coalesce(f.claimed_at, r.claimed_at),
    claimed_position = coalesce(f.claimed_position, r.claimed_position)
from (select s.place, m.state, m.claimed_at, m.claimed_position
      from unnest($1::smallint[], $2::uuid[], $3::text[], $4::timestamptz[], $5::bigint[])
           m (lane, grant_id, state, claimed_at, claimed_position)
      cross join lateral (
          select ctid as place, grant_id from reward_state
          where lane = m.lane and grant_id >= m.grant_id order by grant_id limit 1
      ) s
      where s.grant_id = m.grant_id) f
where r.ctid = f.place and r.lane = any($1)
