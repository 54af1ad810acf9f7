-- Takes one lease that is free or expired. A process that does so at the same moment takes another.
with free as (
    select lane_group from follower_leases
    where follower = $1 and (member is null or expires_at < clock_timestamp())
      and lane_group <> all($3::smallint[])
    order by random()
    limit 1
    for update skip locked
)
update follower_leases l
set member = $2, epoch = l.epoch + 1, expires_at = clock_timestamp() + make_interval(secs => $4)
from free
where l.follower = $1 and l.lane_group = free.lane_group
returning l.lane_group, l.epoch
