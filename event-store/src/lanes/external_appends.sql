select u.user_id from unnest($1::smallint[], $2::text[]) u (lane, user_id)
cross join lateral (
    select from external_appends where lane = u.lane and user_id = u.user_id limit 1
) e
