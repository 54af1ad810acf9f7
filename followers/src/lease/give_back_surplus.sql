update follower_leases set member = null, expires_at = null
where follower = $1 and member = $2 and lane_group = any($3)
