-- The head of each lane, by one probe of the end of the log's index; and the open dedup window.
select l.lane, e.position
from unnest($1::smallint[]) l (lane)
left join lateral (
    select position from events where lane = l.lane order by position desc limit 1
) e on true;
select current from dedup_window
