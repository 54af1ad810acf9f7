-- $1: the first key of the locks of lanes. The gate, -1, is an `oid` above every lane.
select objid::bigint::smallint, virtualtransaction from pg_locks
where locktype = 'advisory' and objsubid = 2 and granted
    and database = (select oid from pg_database where datname = current_database())
    and classid::bigint = $1 and objid::bigint <= 32767
