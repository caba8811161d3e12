-- The data of the peers' harness (schema `app` of the same database) in Inkstone's own tables, which
-- `inkstone migrate up` has made. Ids are hashes of the peers' numbers, so that a second run over
-- emptied tables gives the same.
--
-- The peers page through comments as one flat list, Inkstone through threads: replies become
-- threads of their own here, so that a page holds the same rows.
\set ON_ERROR_STOP on
BEGIN;

CREATE FUNCTION pg_temp.id(kind text, number int) RETURNS uuid LANGUAGE sql IMMUTABLE
    AS $$ SELECT md5(kind || number)::uuid $$;
CREATE FUNCTION pg_temp.html(markdown text) RETURNS text LANGUAGE sql IMMUTABLE
    AS $$ SELECT '<p>' || replace(replace(markdown, '&', '&amp;'), '<', '&lt;') || '</p>' $$;

INSERT INTO users (id, handle, name, role, bio, avatar, created_at, updated_at)
SELECT pg_temp.id('user', id), username, display_name, 'EDITOR', bio, avatar_url, created_at, created_at FROM app.users;

INSERT INTO tags (id, slug, name, created_at)
SELECT pg_temp.id('tag', id), slug, name, '2020-01-01Z' FROM app.tags;

INSERT INTO posts (id, kind, status, slug, language, title, markdown, html, excerpt, words, author_id, published_at, created_at, updated_at)
SELECT pg_temp.id('post', id), 'ARTICLE', 'PUBLISHED', slug, lang, title, body, pg_temp.html(body), excerpt,
    length(body) / 5, pg_temp.id('user', author_id), published_at, published_at, published_at
FROM app.posts;

INSERT INTO post_tags (post_id, tag_id, position)
SELECT pg_temp.id('post', post_id), pg_temp.id('tag', tag_id), row_number() OVER (PARTITION BY post_id ORDER BY tag_id) - 1
FROM app.post_tags;

INSERT INTO comments (id, post_id, author_id, depth, status, markdown, html, created_at, approved_at)
SELECT pg_temp.id('comment', id), pg_temp.id('post', post_id), pg_temp.id('user', author_id), 0, 'APPROVED',
    body, pg_temp.html(body), created_at, created_at
FROM app.comments;

INSERT INTO reactions (post_id, user_id, kind, created_at)
SELECT pg_temp.id('post', post_id), pg_temp.id('user', user_id),
    (ARRAY['LIKE', 'LOVE', 'CELEBRATE', 'INSIGHTFUL', 'CURIOUS'])[min(array_position(ARRAY['👍', '❤️', '🎉', '😄', '🤔'], emoji))],
    min(created_at)
FROM app.reactions WHERE emoji <> '🚀'
GROUP BY post_id, user_id, emoji;

COMMIT;
VACUUM (ANALYZE);
SELECT (SELECT count(*) FROM users) users, (SELECT count(*) FROM posts) posts, (SELECT count(*) FROM comments) comments,
    (SELECT count(*) FROM reactions) reactions;
