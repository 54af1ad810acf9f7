insert into parked (lane, id, reason, repairable, user_id, topic, partition, "offset", headers, bytes)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (lane, id) do nothing
