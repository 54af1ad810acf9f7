-- The indexes of a table, with the constraint that each belongs to.
select c.relname::text, pg_get_constraintdef(k.oid), i.indisunique,
       substring(pg_get_indexdef(i.indexrelid) from ' (USING .*)$')
from pg_index i
join pg_class c on c.oid = i.indexrelid
left join pg_constraint k on k.conindid = i.indexrelid and k.conrelid = i.indrelid
where i.indrelid = $1::regclass
order by 1
