insert into hand_receipts (lane, user_id, operation, idempotency_key, receipt)
select r.lane, r.user_id, r.operation, r.idempotency_key, r.receipt
from unnest($1::smallint[], $2::text[], $3::text[], $4::text[], $5::json[])
     r (lane, user_id, operation, idempotency_key, receipt)
on conflict (lane, user_id, operation, idempotency_key) do nothing
