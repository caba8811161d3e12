-- Who says a name: an editor, or published posts. What nobody says any more is not shown.
ALTER TABLE entity_names ADD COLUMN given boolean NOT NULL DEFAULT false;
UPDATE entity_names SET given = true FROM entities WHERE entities.id = entity_names.entity_id AND entities.edited;

-- The names that stand in published posts, as names are compared.
CREATE TABLE post_names (
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    key text NOT NULL,
    -- Only a model has read it there.
    by_model boolean NOT NULL,
    PRIMARY KEY (post_id, key)
);
CREATE INDEX post_names_key_idx ON post_names (key, post_id);

-- Until the posts are read again, each says what the things are called that it names.
INSERT INTO post_names (post_id, key, by_model)
SELECT post_entities.post_id, entities.key, bool_and(post_entities.source = 'MODEL')
FROM post_entities JOIN entities ON entities.id = post_entities.entity_id
GROUP BY post_entities.post_id, entities.key;
