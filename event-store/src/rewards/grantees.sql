select r.lane, r.user_id from lanes l
cross join lateral (
    select lane, user_id, grant_id from reward_state
    where lane = l.lane and grant_id >= $1 order by grant_id limit 1
) r
where r.grant_id = $1
limit 1
