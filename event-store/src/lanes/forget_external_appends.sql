delete from external_appends e using unnest($1::smallint[], $2::text[]) u (lane, user_id)
where e.lane = u.lane and e.user_id = u.user_id
