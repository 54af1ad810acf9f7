insert into follower_members (follower, member, expires_at)
values ($1, $2, clock_timestamp() + make_interval(secs => $3))
on conflict (follower, member) do update set expires_at = excluded.expires_at
