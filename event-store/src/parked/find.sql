select lane, id, reason, repairable, waiting, user_id, topic, incarnation, partition, "offset", headers, bytes,
       parked_at, resolved_at, resolution, resolved_by, resolved_reason
from parked where id = $1
