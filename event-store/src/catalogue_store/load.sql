select c.identity, c.revision, v.*
from catalogue c
left join (
    select t.task_id, t.status, t.changed_at, v.version, v.definition, v.published_at
    from tasks t join task_versions v using (task_id)
) v on true
order by v.task_id, v.version
