-- Reads only two indexes, as far as their pages are all-visible.
select d.channel,
       count(*) filter (where d.state = 'waiting'),
       extract(epoch from now() - min(d.queued_at) filter (where d.state = 'waiting'))::double precision,
       count(*) filter (where d.state = 'sent'),
       count(*) filter (where d.state = 'failed'),
       count(*) filter (where d.state = 'failed' and d.settled_at > now() - interval '1 hour')
from unnest($1::smallint[]) l (lane)
cross join lateral (
    (select channel, state, queued_at, null::timestamptz as settled_at from deliveries
     where lane = l.lane and state in ('waiting', 'sent') offset 0)
    union all
    (select channel, 'failed', null, settled_at from deliveries
     where lane = l.lane and state = 'failed' and pays offset 0)
) d
group by d.channel
