update parked set resolved_at = $3, resolution = $4, resolved_by = $5, resolved_reason = $6
where lane = $1 and id = $2 and resolved_at is null
