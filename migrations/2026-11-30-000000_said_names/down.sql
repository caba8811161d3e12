DROP TABLE post_names;
ALTER TABLE entity_names DROP COLUMN given;
