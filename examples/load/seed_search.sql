-- What search would know of the seeded posts: ten pieces each, 100,000 in all, of 80 words out of 20,000
-- of which the common ones are common. Their vectors are made here, because reading them would take
-- the model an hour: each near one that the model made of the demo site, or anywhere if it is not there.
BEGIN;
SELECT setseed(0.5);

CREATE TEMP TABLE bases AS
SELECT language, row_number() OVER (PARTITION BY language ORDER BY chunk_id) - 1 AS n, embedding FROM chunk_vectors
WHERE model = 'MODEL';
INSERT INTO bases
SELECT language, n, (SELECT array_agg(random() - 0.5) FROM generate_series(1, 384) WHERE n IS NOT NULL)::vector
FROM generate_series(0, 99) n, unnest(ARRAY['en', 'zh']) language WHERE NOT EXISTS (SELECT 1 FROM bases);

CREATE TEMP TABLE pieces AS
SELECT posts.id AS post_id, posts.language, posts.version, ordinal, gen_random_uuid() AS id,
    mod(hashtext(posts.id::text)::bigint + 2147483648,
        (SELECT count(*) FROM bases WHERE bases.language = posts.language)) AS base,
    (SELECT string_agg('w' || floor(power(20000, random()))::int, ' ') FROM generate_series(1, 80) WHERE posts.id IS NOT NULL) AS text
FROM posts, generate_series(0, 9) ordinal WHERE posts.slug LIKE 'load-post-%';

INSERT INTO post_words (post_id, version, analysis, head, words, indexed_at)
SELECT posts.id, posts.version, ANALYSIS, setweight(to_tsvector('simple', posts.title), 'A'),
    setweight(to_tsvector('simple', posts.title), 'A') || to_tsvector('simple', string_agg(pieces.text, ' ' ORDER BY ordinal)), now()
FROM posts JOIN pieces ON pieces.post_id = posts.id GROUP BY posts.id;

INSERT INTO chunks (id, post_id, ordinal, language, heading_path, text, words, hash)
SELECT id, post_id, ordinal, language, '[]', text, to_tsvector('simple', text), sha256(id::text::bytea) FROM pieces;

INSERT INTO chunk_vectors (chunk_id, model, post_id, language, embedding)
SELECT id, 'MODEL', post_id, pieces.language, l2_normalize(bases.embedding
    + (SELECT array_agg(0.1 * (random() - 0.5)) FROM generate_series(1, 384) WHERE pieces.id IS NOT NULL)::vector)
FROM pieces JOIN bases ON bases.n = pieces.base AND bases.language = pieces.language;

INSERT INTO post_vectors (post_id, model, language, embedding)
SELECT post_id, model, min(language), avg(embedding) FROM chunk_vectors
WHERE post_id IN (SELECT post_id FROM pieces) GROUP BY post_id, model;

INSERT INTO post_related (post_id) SELECT post_id FROM post_words WHERE post_id IN (SELECT post_id FROM pieces);

COMMIT;
ANALYZE;
