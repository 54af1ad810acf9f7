insert into user_view (lane, user_id, zones, attributes, updated_at, counted)
select u.lane, u.user_id, u.zones::json, u.attributes::json, u.updated_at, u.counted
from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::boolean[])
     u (lane, user_id, zones, attributes, updated_at, counted)
on conflict (lane, user_id) do update set
    zones = excluded.zones, attributes = excluded.attributes, updated_at = excluded.updated_at,
    counted = excluded.counted
