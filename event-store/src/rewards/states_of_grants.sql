select r.grant_id, r.state
from unnest($1::smallint[], $2::uuid[]) w (lane, grant_id)
cross join lateral (
    select grant_id, state from reward_state
    where lane = w.lane and grant_id >= w.grant_id order by grant_id limit 1
) r
where r.grant_id = w.grant_id
