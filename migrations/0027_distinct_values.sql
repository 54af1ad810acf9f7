-- Large sets of distinct values, divided into chunks by hash: an action that counts with such a set reads and writes
-- one chunk. The row of the task has the count. Small sets lie in that row, as before; a large one that lies there
-- moves here when its task is next written.
create table distinct_values (
    lane       smallint not null,
    user_id    text     collate "C" not null,
    task_id    text     collate "C" not null,
    period_key text     collate "C" not null,
    -- 0 to 127, by the first bits of the hashes.
    chunk      smallint not null,
    -- Sorted, 12 bytes each: about a kilobyte when a period has counted all it can.
    hashes     bytea    not null,
    primary key (lane, user_id, task_id, period_key, chunk)
) with (fillfactor = 70);

-- Hashes can't be compressed. A chunk that somebody has filled on purpose is moved out of the row as it is.
alter table distinct_values alter column hashes set storage external;
