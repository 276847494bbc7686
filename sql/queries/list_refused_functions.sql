-- list_refused_functions: the functions of these names that this user may not call.
-- names: the names.
SELECT oid::REGPROCEDURE::TEXT AS function
FROM pg_proc
WHERE proname = ANY(%(names)s::TEXT[])
    AND pg_function_is_visible(oid)
    AND NOT has_function_privilege(oid, 'EXECUTE')
ORDER BY function;
