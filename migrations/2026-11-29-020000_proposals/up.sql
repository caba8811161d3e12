-- What models propose for posts, until an editor decides.
CREATE TABLE proposals (
    id uuid PRIMARY KEY,
    post_id uuid NOT NULL REFERENCES posts (id) ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('SUMMARY', 'TAGS', 'TITLE', 'TRANSLATION', 'PROOFREADING', 'ALT_TEXT')),
    status text NOT NULL CHECK (status IN ('PENDING', 'ACCEPTED', 'DISMISSED')),
    -- By its kind.
    content jsonb NOT NULL CHECK (jsonb_typeof(content) = 'object'),
    -- None where rules alone found it.
    model text,
    -- Of the post that was read.
    post_version integer NOT NULL,
    created_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by uuid REFERENCES users (id) ON DELETE SET NULL
);
CREATE INDEX proposals_post_id_idx ON proposals (post_id, created_at, id);
CREATE INDEX proposals_created_at_idx ON proposals (created_at);
-- A new proposal takes the place of the one that waits.
CREATE UNIQUE INDEX proposals_pending_key ON proposals (post_id, kind) WHERE status = 'PENDING';
