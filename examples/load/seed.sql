-- 200 users, 300 tags, 10,000 posts, 100,000 comments in threads, 300,000 reactions, the same each
-- time. What one would look at has the shape of a site: a tenth of the posts has most of the
-- comments, dates go over eight years, two languages.
BEGIN;

CREATE FUNCTION pg_temp.id(kind text, number int) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT md5(kind || number)::uuid $$;

INSERT INTO users (id, handle, name, role, bio, created_at, updated_at)
SELECT pg_temp.id('user', n), 'load-user-' || n, 'User ' || n, CASE WHEN n <= 20 THEN 'EDITOR' ELSE 'READER' END,
    'Number ' || n || ' of two hundred.', '2018-01-01Z', '2018-01-01Z'
FROM generate_series(1, 200) n;

INSERT INTO tags (id, slug, name, created_at)
SELECT pg_temp.id('tag', n), 'load-tag-' || n, 'Tag ' || n, '2018-01-01Z' FROM generate_series(1, 300) n;

INSERT INTO posts (id, kind, status, slug, language, title, markdown, html, excerpt, words, author_id, published_at, created_at, updated_at)
SELECT pg_temp.id('post', n), 'ARTICLE', 'PUBLISHED', 'load-post-' || n, language, title || n, text, '<p>' || text || '</p>',
    left(text, 180), length(text) / 5, pg_temp.id('user', 1 + n % 20), at, at, at
FROM (
    SELECT n, CASE WHEN n % 2 = 0 THEN 'en' ELSE 'zh' END AS language,
        CASE WHEN n % 2 = 0 THEN 'On the measuring of things, part ' ELSE '测量之事，第' END AS title,
        repeat(CASE WHEN n % 2 = 0 THEN 'What is measured is looked at, and what is looked at gets better. ' ELSE '凡所测者，必为所视；凡所视者，终将改善。' END, 15 + n % 30) AS text,
        timestamptz '2018-01-01Z' + n * interval '7 hours' AS at
    FROM generate_series(1, 10000) n
) posts;

INSERT INTO post_tags (post_id, tag_id, position)
SELECT pg_temp.id('post', n), pg_temp.id('tag', 1 + (n * 7 + position * 101) % 300), position
FROM generate_series(1, 10000) n, generate_series(0, 2) position;

-- Each fifth answers the one before it, where that is on the same post.
CREATE TEMP TABLE written AS
SELECT n, CASE WHEN n % 10 < 7 THEN 10000 - (n / 5) % 1000 ELSE 1 + (n / 5) % 9000 END AS post,
    timestamptz '2026-01-01Z' + n * interval '3 minutes' AS at
FROM generate_series(1, 100000) n;

INSERT INTO comments (id, post_id, author_id, parent_id, depth, status, markdown, html, created_at, approved_at)
SELECT pg_temp.id('comment', c.n), pg_temp.id('post', c.post), pg_temp.id('user', 1 + c.n % 200),
    pg_temp.id('comment', parent.n), CASE WHEN parent.n IS NULL THEN 0 ELSE 1 END, 'APPROVED',
    'Comment ' || c.n || ': I measured it too, and found the same.', '<p>Comment ' || c.n || ': I measured it too, and found the same.</p>',
    c.at, c.at
FROM written c LEFT JOIN written parent ON c.n % 5 = 4 AND parent.n = c.n - 1 AND parent.post = c.post
ORDER BY c.n;

INSERT INTO reactions (post_id, user_id, kind, created_at)
SELECT pg_temp.id('post', 1 + n % 10000), pg_temp.id('user', 1 + (n / 10000) * 3 % 200),
    (ARRAY['LIKE', 'LOVE', 'CELEBRATE', 'INSIGHTFUL', 'CURIOUS'])[1 + n % 5], timestamptz '2026-01-01Z' + n * interval '1 minute'
FROM generate_series(0, 299999) n;

COMMIT;
ANALYZE;
