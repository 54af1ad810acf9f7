insert into rebuild_skipped (projection, lane, user_id, reason)
select $1, $2, s.user_id, s.reason from unnest($3::text[], $4::text[]) s (user_id, reason)
on conflict do nothing
