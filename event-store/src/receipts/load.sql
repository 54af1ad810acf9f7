select k.place, c.receipts
from unnest($1::smallint[], $2::text[], $3::text[], $4::text[]) with ordinality
     k (lane, user_id, task_id, idempotency_key, place)
cross join lateral (
    select receipts from claim_keys
    where lane = k.lane and user_id = k.user_id and task_id = k.task_id
      and idempotency_key = k.idempotency_key limit 1
) c
