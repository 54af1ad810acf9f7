select version, content, published_at, published_by, reason
from source_file_versions where name = $1 order by version
