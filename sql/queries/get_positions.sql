-- get_positions: the last position that was drawn, the highest in the sessions that were active last, and of the column's
-- sequence its name, the last position that it can give, and its step. Always one row; drawn is NULL where this user may not
-- look at the sequence, stored is NULL without messages, and the rest is NULL where the column has no sequence of its own.
SELECT
    CASE
        WHEN has_sequence_privilege(sequence.name, 'USAGE')
            THEN coalesce(pg_sequence_last_value(sequence.name::REGCLASS), 0)
    END AS drawn,
    (
        SELECT max(latest.position)
        FROM (SELECT id FROM sessions ORDER BY last_active_at DESC LIMIT 100) AS active
        CROSS JOIN LATERAL (SELECT max(position) AS position FROM messages WHERE session_id = active.id) AS latest
    ) AS stored,
    sequence.name AS sequence_name, pg_sequence.seqmax AS last_possible, pg_sequence.seqincrement AS step
FROM (SELECT pg_get_serial_sequence('messages', 'position') AS name) AS sequence
LEFT JOIN pg_sequence ON pg_sequence.seqrelid = sequence.name::REGCLASS;
