-- insert_imported_sessions: sessions of another program, under lock_sessions and lock_user. One that is here changes only
-- where the other program has later activity. A row for each that was written; is_new where there was none.
-- clerk_id: their user.
-- session_ids: their ids.
-- thread_ids, titles, statuses, created_ats, last_actives, ended_ats: one for each id; a title that is NULL is the
-- table's own.
INSERT INTO sessions AS kept (
    id, user_id, thread_id, title, status, created_at, last_active_at, ended_at, message_count
)
SELECT
    given.id, users.id, given.thread_id, coalesce(given.title, 'New Trip'), given.status, given.created_at,
    given.last_active, given.ended_at, 0
FROM unnest(
    %(session_ids)s::UUID[], %(thread_ids)s::TEXT[], %(titles)s::TEXT[], %(statuses)s::TEXT[],
    %(created_ats)s::TIMESTAMPTZ[], %(last_actives)s::TIMESTAMPTZ[], %(ended_ats)s::TIMESTAMPTZ[]
) AS given (id, thread_id, title, status, created_at, last_active, ended_at)
INNER JOIN users ON users.clerk_id = %(clerk_id)s AND users.deleted_at IS NULL
ON CONFLICT ON CONSTRAINT sessions_pkey
DO UPDATE SET
    title = excluded.title, status = excluded.status, ended_at = excluded.ended_at,
    last_active_at = excluded.last_active_at
WHERE kept.user_id = excluded.user_id
    AND kept.last_active_at < excluded.last_active_at
RETURNING kept.id, kept.xmax::TEXT = '0' AS is_new;
