-- Answers of /v1/responses that a later request may go on from.
CREATE TABLE responses (
    id uuid PRIMARY KEY,
    -- The API key, or the user behind a session: nobody else sees it.
    subject text NOT NULL,
    created_at timestamptz NOT NULL,
    -- The conversation up to and with the answer.
    messages jsonb NOT NULL,
    -- The answer as it was told.
    body jsonb NOT NULL
);
CREATE INDEX responses_created_at_idx ON responses (created_at);
