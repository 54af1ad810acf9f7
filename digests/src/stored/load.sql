select d.user_id, d.sequence, d.digest
from unnest($2::text[]) u (user_id)
join user_digests d on d.lane = $1 and d.user_id = u.user_id
