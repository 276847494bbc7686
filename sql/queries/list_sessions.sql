-- list_sessions: for each of several requests, a page of a user's sessions with the latest message in each and the
-- number of them, newest activity first. Of a user without sessions one row whose session_id is NULL; for an unknown user its assistant_id is
-- NULL too.
-- clerk_ids: one for each request.
-- statuses: which to list, with commas between; NULL for all.
-- active_befores, id_befores: last_active_at and id of the last session of the page before; NULL for the first page.
-- page_sizes: how many at most.
SELECT
    session_id, clerk_id, assistant_id, thread_id, title, status, created_at, last_active_at, ended_at, scenario_slug,
    message_id, role, preview, message_created_at, message_count, is_deleted, number
FROM list_sessions(
    %(clerk_ids)s::TEXT[], %(statuses)s::TEXT[],
    %(active_befores)s::TIMESTAMPTZ[], %(id_befores)s::UUID[], %(page_sizes)s::INT[]
);
