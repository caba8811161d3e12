-- What search would know of the seeded posts: ten pieces each, 100,000 in all, of 80 words out of 20,000
-- of which the common ones are common, and a vector for each piece that points anywhere. Made here,
-- because reading them would take the model an hour.
BEGIN;
SELECT setseed(0.5);

CREATE TEMP TABLE pieces AS
SELECT posts.id AS post_id, posts.language, posts.version, ordinal, gen_random_uuid() AS id,
    (SELECT string_agg('w' || floor(power(20000, random()))::int, ' ') FROM generate_series(1, 80) WHERE posts.id IS NOT NULL) AS text
FROM posts, generate_series(0, 9) ordinal;

INSERT INTO post_words (post_id, version, analysis, head, words, indexed_at)
SELECT posts.id, posts.version, ANALYSIS, setweight(to_tsvector('simple', posts.title), 'A'),
    setweight(to_tsvector('simple', posts.title), 'A') || to_tsvector('simple', string_agg(pieces.text, ' ' ORDER BY ordinal)), now()
FROM posts JOIN pieces ON pieces.post_id = posts.id GROUP BY posts.id;

INSERT INTO chunks (id, post_id, ordinal, language, heading_path, text, words, hash)
SELECT id, post_id, ordinal, language, '[]', text, to_tsvector('simple', text), sha256(id::text::bytea) FROM pieces;

INSERT INTO chunk_vectors (chunk_id, model, post_id, language, embedding)
SELECT id, 'MODEL', post_id, language,
    (SELECT array_agg(random() - 0.5) FROM generate_series(1, 384) WHERE pieces.id IS NOT NULL)::vector FROM pieces;

INSERT INTO post_vectors (post_id, model, language, embedding)
SELECT post_id, model, min(language), avg(embedding) FROM chunk_vectors GROUP BY post_id, model;

COMMIT;
ANALYZE;
