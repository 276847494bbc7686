-- list_wrong_triggers: which of these triggers are missing, switched off, or other ones than ours. No row: all are right.
-- One fires where its state is O, as usual, or A, always.
-- names: the names.
-- table_names: the table of each.
-- functions: the function of each, with its brackets.
-- types: when each fires, as pg_trigger.tgtype.
SELECT
    wanted.name || ' on ' || wanted.table_name AS "trigger",
    CASE
        WHEN pg_trigger.oid IS NULL THEN 'is missing'
        WHEN pg_trigger.tgenabled NOT IN ('O', 'A') THEN 'is switched off'
        ELSE 'is another one than the migrations made'
    END AS fault
FROM unnest(%(names)s::TEXT[], %(table_names)s::TEXT[], %(functions)s::TEXT[], %(types)s::INT[])
    AS wanted (name, table_name, function, type)
LEFT JOIN pg_trigger
    ON pg_trigger.tgrelid = to_regclass(wanted.table_name)
    AND pg_trigger.tgname = wanted.name
    AND NOT pg_trigger.tgisinternal
WHERE pg_trigger.oid IS NULL
    OR pg_trigger.tgenabled NOT IN ('O', 'A')
    OR pg_trigger.tgfoid IS DISTINCT FROM to_regprocedure(wanted.function)
    OR pg_trigger.tgtype <> wanted.type
ORDER BY 1;
