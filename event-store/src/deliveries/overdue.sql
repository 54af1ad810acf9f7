-- No attempt begins after the time limit. The margin of two seconds lets the last attempt begin.
select d.lane, d.grant_id, d.user_id, d.reward, d.channel, d.pays, d.attempts - d.attempts_before as attempts, d.state, d.reason,
       d.redeliveries, d.acknowledged, d.position, d.ordinal,
       extract(epoch from d.give_up_at - now())::double precision as time_left
from unnest($1::smallint[]) l (lane)
cross join lateral (
    select * from deliveries
    where lane = l.lane and state in ('waiting', 'sent') and give_up_at is not null and give_up_at <= now() and pays
      and (state = 'sent' or give_up_at <= now() - interval '2 seconds')
    order by give_up_at
    limit $2
) d
order by d.give_up_at
limit $2
