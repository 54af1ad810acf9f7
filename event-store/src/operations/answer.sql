select answer from operations
where operator = $1 and operation = $2 and subject = $3 and idempotency_key = $4
for update
