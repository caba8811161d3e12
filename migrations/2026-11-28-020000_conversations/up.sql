-- Conversations with the site. Each is seen by its user alone; those of who has not signed in are not here.
CREATE TABLE conversations (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    title text NOT NULL CHECK (title <> ''),
    created_at timestamptz NOT NULL,
    -- When something was last said in it.
    updated_at timestamptz NOT NULL
);
CREATE INDEX conversations_user_id_idx ON conversations (user_id, updated_at, id);

CREATE TABLE messages (
    id uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('USER', 'ASSISTANT')),
    content text NOT NULL,
    -- What an answer was written from, in the order of its numbers.
    citations jsonb NOT NULL DEFAULT '[]',
    -- Of an answer: how it ended, and which model wrote it, if one did.
    finish text CHECK (finish IN ('STOP', 'LENGTH', 'NOT_COVERED', 'LEFT', 'FAILED')),
    model text,
    prompt_tokens integer NOT NULL DEFAULT 0 CHECK (prompt_tokens >= 0),
    completion_tokens integer NOT NULL DEFAULT 0 CHECK (completion_tokens >= 0),
    created_at timestamptz NOT NULL
);
CREATE INDEX messages_conversation_id_idx ON messages (conversation_id, created_at, id);
