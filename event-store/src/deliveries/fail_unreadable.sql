update deliveries set state = 'failed', reason = $4, give_up_at = null, settled_at = now()
where lane = $1 and grant_id = $2 and channel = $3 and state in ('waiting', 'sent')
