select d.channel,
       count(*) filter (where d.state = 'waiting'),
       extract(epoch from now() - min(d.queued_at) filter (where d.state = 'waiting'))::double precision,
       count(*) filter (where d.state = 'sent'),
       count(*) filter (where d.state = 'failed' and d.pays),
       count(*) filter (where d.state = 'failed' and d.pays and d.settled_at > now() - interval '1 hour')
from unnest($1::smallint[]) l (lane)
cross join lateral (
    select channel, state, queued_at, pays, settled_at from deliveries
    where lane = l.lane and state <> 'delivered' and state in ('waiting', 'sent', 'failed')
    offset 0
) d
group by d.channel
