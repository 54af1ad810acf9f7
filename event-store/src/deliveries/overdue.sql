select d.lane, d.user_id, d.reward, d.channel, d.pays, d.attempts, d.state, d.reason
from unnest($1::smallint[]) l (lane)
cross join lateral (
    select * from deliveries
    where lane = l.lane and state in ('waiting', 'sent') and give_up_at is not null and give_up_at <= now()
    order by give_up_at
    limit $2
) d
order by d.give_up_at
limit $2
