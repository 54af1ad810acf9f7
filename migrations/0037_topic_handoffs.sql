-- Rewards that are handed to the topic without an event before it.

-- How far the rewards of a lane may be with the broker, for a topic whose payer confirms nothing. A row is added
-- under the lane's lock before anything up to its place is published; a revocation, which holds that lock too, then
-- finds these rewards under way. The greatest place of a lane counts; smaller ones are deleted. Rows are added
-- instead of updated, so that an old snapshot makes no chain of versions that each read has to follow.
create table topic_handoffs (
    lane     smallint not null,
    position bigint   not null,
    ordinal  integer  not null,
    primary key (lane, position, ordinal)
);
