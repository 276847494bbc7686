-- get_user_state: everything that decides about one user, to be read under lock_user. Always one row.
-- No users row: id is NULL. No tombstone: tombstone_at is NULL. No attempt: tries is NULL.
-- clerk_id: the user.
SELECT
    users.id, users.clerk_id, users.assistant_id, users.email, users.name, users.image_url,
    users.created_at, users.clerk_updated_at, users.last_sign_in_at, users.deleted_at,
    deleted_users.deleted_at AS tombstone_at,
    provisioning_attempts.tries,
    provisioning_attempts.resolved_at IS NOT NULL AS resolved
FROM (VALUES (%(clerk_id)s::TEXT)) AS wanted (clerk_id)
LEFT JOIN users ON users.clerk_id = wanted.clerk_id
LEFT JOIN deleted_users ON deleted_users.clerk_id = wanted.clerk_id
LEFT JOIN provisioning_attempts ON provisioning_attempts.clerk_id = wanted.clerk_id;
