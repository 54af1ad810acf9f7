select c.relname::text, substring(c.relname from '[0-9]+$')::int
from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = 'seen_actions'::regclass
