-- Users with a period of a task that holds rewards back: the newest one, or one before it that is still open.
select user_id from task_view
where lane = $1 and task_id = $2 and user_id > $3
  and (details ->> 'held' = 'true'
       or exists (select from json_array_elements(details -> 'earlier') p where p ->> 'held' = 'true'))
order by user_id
limit $4
