select s.identity, v.name, v.version, v.content
from source_files s
left join (
    select distinct on (name) name, version, content
    from source_file_versions order by name, version desc
) v on v.content is not null
order by v.name
