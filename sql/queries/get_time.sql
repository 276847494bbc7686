-- get_time: the database's clock, by which every row's times are.
SELECT now();
