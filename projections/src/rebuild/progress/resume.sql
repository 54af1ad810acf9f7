update rebuilds
set state = $2, error = null, resumed_at = now(),
    resumed_events = (select coalesce(sum(events), 0) from rebuild_lanes where projection = $1)
where projection = $1
