select r.position, l.next_position - 1
from rebuild_lanes r join lanes l on l.lane = r.lane
where r.projection = $1 and r.lane = $2
