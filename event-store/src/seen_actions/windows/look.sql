update dedup_window d
set opened_at = case
        when d.opened_at > l.now + interval '1 day' then l.now
        else d.opened_at + greatest(l.now - d.looked_at - make_interval(secs => $1), interval '0')
    end,
    looked_at = l.now
from (select clock_timestamp() as now) l
