-- Renews the leases that this process still has, even expired ones, unless another process took
-- them.
update follower_leases l
set expires_at = clock_timestamp() + make_interval(secs => $5)
from unnest($3::smallint[], $4::bigint[]) held (lane_group, epoch)
where l.follower = $1 and l.member = $2 and l.lane_group = held.lane_group and l.epoch = held.epoch
returning l.lane_group
