-- get_time: the database's clock, which all times in rows come from.
SELECT now();
