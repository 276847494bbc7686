-- list_wrong_functions: which of these functions are missing, or have another body than ours. No row: all are right.
-- signatures: the names, with the types of their arguments.
-- hashes: for each, the SHA-256 of its body, in hexadecimal digits.
SELECT wanted.signature, pg_proc.oid IS NULL AS is_missing
FROM unnest(%(signatures)s::TEXT[], %(hashes)s::TEXT[]) AS wanted (signature, hash)
LEFT JOIN pg_proc ON pg_proc.oid = to_regprocedure(wanted.signature)
WHERE pg_proc.oid IS NULL
    OR encode(sha256(convert_to(pg_proc.prosrc, 'UTF8')), 'hex') <> wanted.hash
ORDER BY wanted.signature;
