select lane, user_id, reason, count(*) over ()
from rebuild_skipped
where projection = $1
order by lane, user_id
limit $2
