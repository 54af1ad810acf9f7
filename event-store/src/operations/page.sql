select id, at, operator, operation, subject, coalesce(reason, $3) from operations o
where $1::uuid is null or (o.at, o.id) < (select p.at, p.id from operations p where p.id = $1)
order by o.at desc, o.id desc limit $2
