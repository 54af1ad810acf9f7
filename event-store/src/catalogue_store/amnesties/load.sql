select id, starts_at, ends_at, tasks, declared_at, declared_by, reason
from streak_amnesties order by declared_at, id
