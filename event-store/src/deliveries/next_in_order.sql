-- The channel's name is a literal, because it is the condition of a partial index.
select d.lane, d.grant_id, d.user_id, d.reward, d.channel, d.pays, d.attempts - d.attempts_before as attempts, d.state, d.reason,
       d.redeliveries, d.acknowledged,
       extract(epoch from d.give_up_at - now())::double precision as time_left
from unnest($1::smallint[]) l (lane)
cross join lateral (
    select * from deliveries
    where lane = l.lane and channel = 'kafka' and state = 'waiting'
    order by position, ordinal
    limit $2
) d
order by d.lane, d.position, d.ordinal
