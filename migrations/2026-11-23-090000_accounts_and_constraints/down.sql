ALTER TABLE users DROP COLUMN avatar;
ALTER TABLE api_keys DROP COLUMN last_used_at;
ALTER TABLE jobs DROP COLUMN claim;
CREATE INDEX post_translations_group_key_idx ON post_translations (group_key);
ALTER TABLE post_translations DROP COLUMN language;
DROP INDEX posts_id_language_key;
