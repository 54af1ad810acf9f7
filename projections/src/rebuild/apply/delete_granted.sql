-- Deletes what some spans of the log granted to some users.
delete from reward_state_new r
using unnest($1::smallint[], $2::text[]) u (lane, user_id)
join unnest($3::smallint[], $4::bigint[], $5::bigint[]) s (lane, after, up_to) on s.lane = u.lane
where r.lane = u.lane and r.user_id = u.user_id
  and r.granted_position > s.after and r.granted_position <= s.up_to
