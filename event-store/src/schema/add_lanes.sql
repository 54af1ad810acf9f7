insert into lane_numbers (lane) select n::smallint from generate_series(0, $1 - 1) n
where not exists (select from lane_numbers)
