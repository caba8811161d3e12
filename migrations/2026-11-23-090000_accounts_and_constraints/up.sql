-- A group of translations holds one post a language. The language is repeated beside the group, so
-- that an index can see both; the foreign key carries a change of it along.
ALTER TABLE post_translations ADD COLUMN language text;
UPDATE post_translations SET language = posts.language FROM posts WHERE posts.id = post_translations.post_id;
-- Where two writers got past the check that there was, the post that came first stays in the group.
DELETE FROM post_translations AS later USING post_translations AS earlier
    WHERE earlier.group_key = later.group_key AND earlier.language = later.language
    AND earlier.post_id < later.post_id;
ALTER TABLE post_translations ALTER COLUMN language SET NOT NULL;
CREATE UNIQUE INDEX posts_id_language_key ON posts (id, language);
ALTER TABLE post_translations ADD CONSTRAINT post_translations_language_fkey
    FOREIGN KEY (post_id, language) REFERENCES posts (id, language) ON UPDATE CASCADE ON DELETE CASCADE;
CREATE UNIQUE INDEX post_translations_group_language_key ON post_translations (group_key, language);
DROP INDEX post_translations_group_key_idx;

-- Which claim holds a job: its attempts are counted anew when it is asked for again, and so tell
-- two claims apart only until then.
ALTER TABLE jobs ADD COLUMN claim uuid;

-- When a key was last seen, to the minute, so that one that nobody uses can be told.
ALTER TABLE api_keys ADD COLUMN last_used_at timestamptz;

-- Path or URL of a picture.
ALTER TABLE users ADD COLUMN avatar text;
