select r.state, r.phase, l.users, l.events, greatest(l.total, l.events), r.started_at, r.finished_at,
       r.differences, r.error, l.events - r.resumed_events,
       extract(epoch from clock_timestamp() - r.resumed_at)::float8,
       (select count(*) from rebuild_skipped where projection = r.projection)
from rebuilds r
cross join lateral (
    select coalesce(sum(users), 0)::bigint as users, coalesce(sum(events), 0)::bigint as events,
           coalesce(sum(position), 0)::bigint as total
    from rebuild_lanes where projection = r.projection
) l
where r.projection = $1
