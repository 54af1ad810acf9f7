select 'published' as change, version, published_at as at, published_by as by, reason, version::bigint as place,
    null::timestamptz as starts_at, null::timestamptz as ends_at
from task_versions where task_id = $1
union all
select status, null, changed_at, changed_by, reason, revision, null, null
from task_status_changes where task_id = $1
union all
select 'amnesty', null, declared_at, declared_by, reason, 0, starts_at, ends_at
from streak_amnesties
where coalesce($1 = any(tasks), true)
    and exists (select from task_versions where task_id = $1 and definition ->> 'kind' = 'continuous')
order by at, place
