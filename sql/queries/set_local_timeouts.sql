-- set_local_timeouts: bound what this transaction may wait for. LOCAL, since a pooler may hand the connection on.
-- lock_timeout, statement_timeout, idle_timeout: such as '3000ms'.
SELECT
    set_config('lock_timeout', %(lock_timeout)s, TRUE),
    set_config('statement_timeout', %(statement_timeout)s, TRUE),
    set_config('idle_in_transaction_session_timeout', %(idle_timeout)s, TRUE);
