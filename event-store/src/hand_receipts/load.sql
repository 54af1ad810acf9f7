select k.place, r.receipt
from unnest($1::smallint[], $2::text[], $3::text[], $4::text[]) with ordinality
     k (lane, user_id, operation, idempotency_key, place)
cross join lateral (
    select receipt from hand_receipts
    where lane = k.lane and user_id = k.user_id and operation = k.operation
      and idempotency_key = k.idempotency_key limit 1
) r
