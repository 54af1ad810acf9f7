update rebuild_lanes r
set position = p.up_to, events = r.events + p.up_to - p.after
from unnest($2::smallint[], $3::bigint[], $4::bigint[]) p (lane, after, up_to)
where r.projection = $1 and r.lane = p.lane and r.position = p.after
