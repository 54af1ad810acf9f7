-- Why a version was published; null: nobody said.
alter table task_versions add column reason text;

-- Who paused, resumed or retired a task, and why. `revision` is the catalogue's after the change.
create table task_status_changes (
    task_id    text        collate "C" not null references tasks,
    revision   bigint      not null,
    status     text        not null check (status in ('active', 'paused', 'retired')),
    changed_at timestamptz not null default now(),
    changed_by text        not null,
    reason     text,
    primary key (task_id, revision)
);

-- How many users a change of a task concerns. Its columns never change, so updates of a row stay on its page.
create index task_view_by_task on task_view (lane, task_id);
