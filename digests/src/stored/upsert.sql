insert into user_digests (lane, user_id, sequence, digest)
select $1, u.user_id, u.sequence, u.digest
from unnest($2::text[], $3::bigint[], $4::bytea[]) u (user_id, sequence, digest)
on conflict (lane, user_id) do update set sequence = excluded.sequence, digest = excluded.digest
