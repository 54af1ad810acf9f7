insert into operations (id, operator, operation, subject, reason) values ($1, $2, $3, $4, $5)
