-- The channel's name is a literal, because it is the condition of a partial index.
select d.lane, d.grant_id, d.user_id, d.reward, d.channel, d.pays, d.attempts - d.attempts_before as attempts, d.state, d.reason,
       d.redeliveries, d.acknowledged, d.position, d.ordinal,
       extract(epoch from d.give_up_at - now())::double precision as time_left
from unnest($1::smallint[], $2::bigint[]) l (lane, from_position)
cross join lateral (
    select * from deliveries
    where lane = l.lane and channel = 'kafka' and state = 'waiting' and position >= l.from_position
    order by position, ordinal
    limit $3
) d
order by d.lane, d.position, d.ordinal
