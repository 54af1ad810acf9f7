insert into user_view (lane, user_id, zones, counted)
select u.lane, u.user_id, u.zones::json, u.counted
from unnest($1::smallint[], $2::text[], $3::text[], $4::boolean[]) u (lane, user_id, zones, counted)
