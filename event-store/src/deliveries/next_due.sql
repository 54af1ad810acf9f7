select d.lane, d.grant_id, d.user_id, d.reward, d.channel, d.pays, d.attempts - d.attempts_before as attempts, d.state, d.reason,
       d.redeliveries, d.acknowledged, d.position, d.ordinal,
       extract(epoch from d.give_up_at - now())::double precision as time_left
from unnest($1::smallint[]) l (lane)
cross join lateral (
    select * from deliveries
    where channel = $2 and channel <> 'kafka' and lane = l.lane and state = 'waiting' and due_at <= now()
      and (give_up_at is null or give_up_at > now())
    order by due_at
    limit $3
) d
order by d.due_at
limit $3
