insert into source_file_versions (name, version, content, published_by, reason)
select $1, coalesce(max(version), 0) + 1, $2, $3, $4
from source_file_versions where name = $1
returning version
