insert into follower_skipped (lane, follower, position, user_id, sequence, reason)
select s.lane, $1, s.position, s.user_id, s.sequence, s.reason
from unnest($2::smallint[], $3::bigint[], $4::text[], $5::bigint[], $6::text[])
     s (lane, position, user_id, sequence, reason)
on conflict (lane, follower, position) do nothing
