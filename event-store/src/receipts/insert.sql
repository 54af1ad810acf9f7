insert into claim_keys (lane, user_id, task_id, idempotency_key, receipts)
values ($1, $2, $3, $4, $5)
on conflict (lane, user_id, task_id, idempotency_key) do nothing
