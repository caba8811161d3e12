-- What has to do with each published post, as its page shows it; made by a job behind each change.
CREATE TABLE post_related (
    -- No reference: a deleted post would take its list before those that it is on, out of the order in which
    -- all changes take them.
    post_id uuid PRIMARY KEY,
    -- Whose vectors it was made with; empty where there were none.
    model text NOT NULL DEFAULT '',
    -- Nearest first: [{"post_id", "score", "because"}]
    related jsonb NOT NULL DEFAULT '[]',
    -- The same posts, to find the lists that a post is on.
    related_ids uuid[] NOT NULL DEFAULT '{}',
    -- Null: it is to be made, or made anew, and is not to be shown.
    made_at timestamptz
);
CREATE INDEX post_related_made_at_idx ON post_related (made_at NULLS FIRST);
CREATE INDEX post_related_related_ids_idx ON post_related USING gin (related_ids);

INSERT INTO post_related (post_id) SELECT post_id FROM post_words;
