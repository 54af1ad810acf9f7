delete from follower_skipped s
using unnest($2::smallint[], $3::bigint[]) h (lane, position)
where s.lane = h.lane and s.follower = $1 and s.position = h.position
