-- Of the time since the last look at most $1 seconds count. Time that the clock skipped makes no
-- window older, nor any row that upkeep deletes by its age. It is caught up with as time passes, so
-- that rows are not kept for longer for ever after an outage: none lives for less than half its time.
update dedup_window d
set opened_at = case
        when d.opened_at > l.now + interval '1 day' then l.now
        else d.opened_at + greatest(l.now - d.looked_at - make_interval(secs => $1), interval '0')
    end,
    skipped = greatest(d.skipped + case
        when l.now < d.looked_at then l.now - d.looked_at
        else greatest(l.now - d.looked_at - make_interval(secs => $1), interval '0')
             - least(l.now - d.looked_at, make_interval(secs => $1))
    end, interval '0'),
    looked_at = l.now
from (select clock_timestamp() as now) l
