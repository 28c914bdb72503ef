CREATE TABLE events (
    id bigint NOT NULL,
    kind int NOT NULL,
    at timestamptz NOT NULL,
    message text,
    detail jsonb NOT NULL,
    value float8,
    tags text[] NOT NULL
);
INSERT INTO events
SELECT i,
    hash % 40,
    timestamptz '2026-01-01 00:00:00+00' + i * interval '1.234567 s',
    CASE WHEN i % 10 <> 0 THEN 'event ' || i || ' of ' || md5(i::text) END,
    jsonb_build_object('user', hash % 100000, 'path', '/items/' || i % 1000, 'ok', i % 7 <> 0, 'ms', hash % 5000 / 8.0),
    CASE WHEN i % 20 <> 0 THEN sqrt(i) END,
    ARRAY['region-' || i % 12, 'plan-' || hash % 4]
FROM (SELECT i, hashint8(i) & 2147483647 AS hash FROM generate_series(1::bigint, $1) AS i) AS numbered
