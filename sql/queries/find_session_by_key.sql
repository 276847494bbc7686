-- find_session_by_key: the session that was created under an Idempotency-Key, as it was when it was created.
-- No row: there was none, or it is deleted by now.
-- user_id: the user.
-- idempotency_key: as the caller wrote it.
SELECT
    sessions.id AS session_id, users.clerk_id, users.assistant_id AS assistant_id, sessions.thread_id,
    sessions.idempotency_title AS title, 'active' AS status, sessions.created_at,
    sessions.created_at AS last_active_at, NULL::TIMESTAMPTZ AS ended_at, sessions.scenario_slug,
    NULL::UUID AS message_id, NULL AS role, NULL AS preview, NULL::TIMESTAMPTZ AS message_created_at,
    0::BIGINT AS message_count,
    users.deleted_at IS NOT NULL AS is_deleted
FROM sessions
INNER JOIN users ON users.id = sessions.user_id
WHERE sessions.user_id = %(user_id)s
    AND sessions.idempotency_key = %(idempotency_key)s;
