-- The types of recent actions, and the fields of their data.

-- What processes saw in a sample of the actions that they applied. `plan` and `publish` warn of types and fields that
-- are not here; nothing else reads the table, so it may be emptied at any time. Bounded: some 256 types with some 64
-- names each; a row is deleted once it was not seen for 30 days. Written a few times a day, so no room is left free.
create table action_fields (
    action_type   text collate "C" not null,
    -- A name below `data`, or two joined by a dot. Empty: the type itself.
    field         text collate "C" not null,
    first_seen_on date not null,
    last_seen_on  date not null,
    primary key (action_type, field)
);
