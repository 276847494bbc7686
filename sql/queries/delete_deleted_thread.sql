-- delete_deleted_thread: forget a thread that Backboard has no more. No row comes back.
-- session_id: of which session it was.
DELETE FROM deleted_threads
WHERE session_id = %(session_id)s;
