insert into operations (id, operator, operation, subject, reason, idempotency_key)
values ($1, $2, $3, $4, $5, $6)
on conflict (operator, operation, md5(subject), idempotency_key) where idempotency_key is not null do nothing
