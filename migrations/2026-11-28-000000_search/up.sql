-- What is published, as search knows it: one row a post for its words, one a piece of it for where
-- and what, and one a piece and model for its meaning.
CREATE TABLE post_words (
    post_id uuid PRIMARY KEY REFERENCES posts ON DELETE CASCADE,
    -- Of the post that was read.
    version integer NOT NULL,
    -- Which way of cutting texts into words and pieces made it.
    analysis integer NOT NULL,
    -- Title (A), tags (B), headings (C).
    head tsvector NOT NULL,
    -- The same and the text (D).
    words tsvector NOT NULL,
    indexed_at timestamptz NOT NULL
);
-- Few rows to a page would make a common word slow to count, and unpacking would make ranks slow.
ALTER TABLE post_words ALTER COLUMN words SET STORAGE EXTERNAL;
CREATE INDEX post_words_words_idx ON post_words USING gin (words);
CREATE INDEX post_words_indexed_at_idx ON post_words (indexed_at);

CREATE TABLE chunks (
    id uuid PRIMARY KEY,
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    ordinal integer NOT NULL,
    language text NOT NULL,
    -- From the outermost in.
    heading_path jsonb NOT NULL CHECK (jsonb_typeof(heading_path) = 'array'),
    -- The id of the innermost heading in the post's HTML.
    anchor text,
    text text NOT NULL,
    words tsvector NOT NULL,
    -- Of what a model reads of it, so that only what has changed is read again.
    hash bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX chunks_post_id_idx ON chunks (post_id, ordinal);

-- Vectors of two models are never compared: each query names one. Where there are many, a partial
-- index for a model and a language is made while the program runs.
CREATE TABLE chunk_vectors (
    chunk_id uuid NOT NULL REFERENCES chunks ON DELETE CASCADE,
    model text NOT NULL,
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    language text NOT NULL,
    embedding vector NOT NULL,
    PRIMARY KEY (chunk_id, model)
);
CREATE INDEX chunk_vectors_model_idx ON chunk_vectors (model, language);
CREATE INDEX chunk_vectors_post_id_idx ON chunk_vectors (post_id);

-- The mean of a post's pieces, for what is like it.
CREATE TABLE post_vectors (
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    model text NOT NULL,
    language text NOT NULL,
    embedding vector NOT NULL,
    PRIMARY KEY (post_id, model)
);
CREATE INDEX post_vectors_model_idx ON post_vectors (model, language);
