update rebuild_lanes set position = (select next_position - 1 from lanes where lane = $2)
where projection = $1 and lane = $2 and user_id is null
