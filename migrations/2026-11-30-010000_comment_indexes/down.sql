DROP INDEX comments_import_key_key;
CREATE UNIQUE INDEX comments_import_key_key ON comments (import_key);
CREATE INDEX comments_thread_idx ON comments (post_id, created_at, id) WHERE parent_id IS NULL;
CREATE INDEX comments_post_idx ON comments (post_id, created_at, id);
DROP INDEX comments_of_post_idx;
