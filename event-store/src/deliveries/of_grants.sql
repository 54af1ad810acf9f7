select d.grant_id, d.channel, d.pays, d.state, d.attempts, d.attempted, d.reason, d.queued_at,
       case when d.state = 'waiting' then d.due_at end, d.give_up_at
from unnest($2::uuid[]) g (grant_id)
cross join lateral (select * from deliveries where lane = $1 and grant_id = g.grant_id) d
order by d.grant_id, d.pays desc, d.channel
