insert into rebuild_lanes (projection, lane, position)
select $1, lane, next_position - 1 from lanes
