-- Source files that were published: in force in every process, instead of the file of the same name in its
-- folder. A version is never altered; the last one of a name counts.
create table source_file_versions (
    name         text        collate "C" not null,
    version      int         not null check (version > 0),
    -- The file as it was published; null: withdrawn, so that the folder's file of this name counts again.
    content      text,
    published_at timestamptz not null default now(),
    published_by text        not null,
    -- Null: nobody said.
    reason       text,
    primary key (name, version)
);

-- One row. Its lock is the order of publications, and its identity changes with each: processes look at it
-- twice a second. An identity and not a number, because after a restore the same number may mean other files.
create table source_files (
    the_one  boolean primary key default true check (the_one),
    identity uuid    not null
);
insert into source_files (identity) values (gen_random_uuid());

-- As with the events: nobody alters history by accident.
do $$
begin
    execute format('revoke update, delete, truncate on source_file_versions from %I', current_user);
end
$$;
