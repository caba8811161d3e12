-- A new comment is written into each index on the table. One serves the comments of a post whether those
-- that answer others are wanted or not, and few comments come from an import.
CREATE INDEX comments_of_post_idx ON comments (post_id, created_at, id, parent_id);
DROP INDEX comments_thread_idx, comments_post_idx;
DROP INDEX comments_import_key_key;
CREATE UNIQUE INDEX comments_import_key_key ON comments (import_key) WHERE import_key IS NOT NULL;
