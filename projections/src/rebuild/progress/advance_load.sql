update rebuild_lanes
set user_id = $4, users = users + $5, loaded = $7,
    -- A view that wants few of the events has looked through all of them in the end; those after the position are
    -- caught up with.
    events = case when $7 then position else events + $6 end
where projection = $1 and lane = $2 and user_id is not distinct from $3 and not loaded
