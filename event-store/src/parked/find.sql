select id, reason, repairable, user_id, topic, partition, "offset", headers, bytes, parked_at from parked
where id = $1
