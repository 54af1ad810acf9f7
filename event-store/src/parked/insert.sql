-- Parks a record under the next number of its lane, which the batch holds.
insert into parked as p
    (lane, id, reason, repairable, waiting, user_id, topic, incarnation, partition, "offset", headers, bytes, ordinal)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
        coalesce((select max(o.ordinal) from parked o where o.lane = $1), 0) + 1)
on conflict (lane, id) do update set
    reason = excluded.reason, repairable = excluded.repairable, waiting = excluded.waiting,
    headers = excluded.headers, bytes = excluded.bytes, parked_at = now(), ordinal = excluded.ordinal,
    resolved_at = null, resolution = null, resolved_by = null, resolved_reason = null
where p.resolved_at is not null or (excluded.repairable and not p.repairable)
