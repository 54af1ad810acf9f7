delete from hand_receipts where (lane, user_id, operation, idempotency_key) in (
    select lane, user_id, operation, idempotency_key from hand_receipts
    where given_at < (select plaudit_upkeep_time()) - make_interval(days => $1) limit 1000)
