-- What readers have read, each with consent: members unless they switched it off, others by a token
-- that their browser keeps. Nobody else sees it; it ends with the account.
CREATE TABLE readers (
    id uuid PRIMARY KEY,
    user_id uuid UNIQUE REFERENCES users ON DELETE CASCADE,
    token_hash bytea UNIQUE CHECK (length(token_hash) = 32),
    -- False: nothing is to be written down.
    keep boolean NOT NULL DEFAULT true,
    -- When something was last read.
    used_at timestamptz NOT NULL,
    CHECK ((user_id IS NULL) <> (token_hash IS NULL))
);
CREATE INDEX readers_used_at_idx ON readers (used_at);

CREATE TABLE reads (
    reader_id uuid NOT NULL REFERENCES readers ON DELETE CASCADE,
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    -- When it was last counted, and how often in all.
    read_at timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 1 CHECK (times > 0),
    PRIMARY KEY (reader_id, post_id)
);
CREATE INDEX reads_reader_id_idx ON reads (reader_id, read_at, post_id);
CREATE INDEX reads_post_id_idx ON reads (post_id);
CREATE INDEX reads_read_at_idx ON reads (read_at);

-- How often each post was read on a day, with no person in it.
CREATE TABLE post_days (
    day date NOT NULL,
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    reads bigint NOT NULL CHECK (reads > 0),
    PRIMARY KEY (day, post_id)
);
CREATE INDEX post_days_post_id_idx ON post_days (post_id);

-- What was said in the last days, for what is popular.
CREATE INDEX reactions_created_at_idx ON reactions (created_at);
CREATE INDEX comments_approved_idx ON comments (created_at) WHERE status = 'APPROVED';
