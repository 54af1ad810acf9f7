insert into deliveries as d
    (lane, grant_id, channel, pays, user_id, position, ordinal, reward, state, due_at, give_up_at, redeliveries)
select q.lane, q.grant_id, q.channel, q.pays, q.user_id, q.position, q.ordinal, q.reward, 'waiting', now(),
       now() + make_interval(secs => q.retry_for), 1
from unnest($1::smallint[], $2::uuid[], $3::text[], $4::boolean[], $5::text[], $6::bigint[], $7::integer[],
            $8::json[], $9::double precision[])
     q (lane, grant_id, channel, pays, user_id, position, ordinal, reward, retry_for)
on conflict (lane, grant_id, channel) do update
set pays = excluded.pays, position = excluded.position, ordinal = excluded.ordinal, state = 'waiting',
    due_at = excluded.due_at, give_up_at = excluded.give_up_at, reason = null, queued_at = clock_timestamp(),
    redeliveries = d.redeliveries + 1, attempts_before = d.attempts, acknowledged = false, settled_at = null
