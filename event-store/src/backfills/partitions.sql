select topic, incarnation, partition, start_offset, next_offset, end_offset, kept_from, lost
from backfill_partitions where task_id = $1 order by topic, incarnation, partition
