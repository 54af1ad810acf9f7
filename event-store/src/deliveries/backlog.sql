-- By an index alone, as far as its pages are visible to all.
select d.channel,
       count(*) filter (where d.state = 'waiting'),
       extract(epoch from now() - min(d.queued_at) filter (where d.state = 'waiting'))::double precision,
       count(*) filter (where d.state = 'sent')
from unnest($1::smallint[]) l (lane)
cross join lateral (
    select channel, state, queued_at from deliveries
    where lane = l.lane and state in ('waiting', 'sent')
    offset 0
) d
group by d.channel
