select 'published' as change, version, published_at as at, published_by as by, reason, version::bigint as place
from task_versions where task_id = $1
union all
select status, null, changed_at, changed_by, reason, revision
from task_status_changes where task_id = $1
order by at, place
