-- get_positions: the last position that was drawn, the highest in the sessions that were active last, and the last that the
-- sequence can give. Always one row; drawn is NULL where this user may not look at the sequence, stored is NULL without
-- messages, and the end is NULL where the column has no sequence.
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
    (SELECT seqmax FROM pg_sequence WHERE seqrelid = sequence.name::REGCLASS) AS last_possible
FROM (SELECT pg_get_serial_sequence('messages', 'position') AS name) AS sequence;
