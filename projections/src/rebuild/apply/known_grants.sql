select r.grant_id
from reward_state_new r
join unnest($1::smallint[], $2::uuid[]) g (lane, grant_id) on r.lane = g.lane and r.grant_id = g.grant_id
