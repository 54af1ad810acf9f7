insert into external_appends (lane, user_id)
select distinct u.lane, u.user_id from unnest($1::smallint[], $2::text[]) u (lane, user_id)
on conflict do nothing
