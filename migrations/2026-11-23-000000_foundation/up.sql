-- The first tables: who writes and reads, what is written, what is said about it,
-- and the event log that everything live is driven by.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE users (
    id uuid PRIMARY KEY,
    handle text NOT NULL CHECK (handle = lower(handle) AND length(handle) BETWEEN 1 AND 40),
    name text NOT NULL,
    email text CHECK (email = lower(email)),
    role text NOT NULL CHECK (role IN ('OWNER', 'EDITOR', 'READER')),
    bio text NOT NULL DEFAULT '',
    url text,
    demo boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_handle_key ON users (handle);
CREATE UNIQUE INDEX users_email_key ON users (email);

-- One way of proving to be a user. For the provider 'password' the secret is an argon2id string.
CREATE TABLE identities (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    provider text NOT NULL CHECK (provider IN ('password')),
    subject text NOT NULL,
    secret text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX identities_provider_subject_key ON identities (provider, subject);
CREATE INDEX identities_user_id_idx ON identities (user_id);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX sessions_token_hash_key ON sessions (token_hash);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

CREATE TABLE api_keys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    hint text NOT NULL,
    token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
    scopes jsonb NOT NULL CHECK (jsonb_typeof(scopes) = 'array'),
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz
);
CREATE UNIQUE INDEX api_keys_token_hash_key ON api_keys (token_hash);
CREATE INDEX api_keys_user_id_idx ON api_keys (user_id);

-- One row: the site itself.
CREATE TABLE site (
    id boolean PRIMARY KEY DEFAULT true CHECK (id),
    title text NOT NULL,
    tagline text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT 'en',
    links jsonb NOT NULL DEFAULT '{}',
    demo boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL
);

CREATE TABLE tags (
    id uuid PRIMARY KEY,
    slug text NOT NULL CHECK (slug <> ''),
    name text NOT NULL CHECK (name <> ''),
    description text NOT NULL DEFAULT '',
    demo boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX tags_slug_key ON tags (slug);

CREATE TABLE series (
    id uuid PRIMARY KEY,
    slug text NOT NULL CHECK (slug <> ''),
    title text NOT NULL CHECK (title <> ''),
    description text NOT NULL DEFAULT '',
    language text NOT NULL,
    demo boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX series_slug_key ON series (slug);

CREATE TABLE posts (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('ARTICLE', 'NOTE', 'PAGE', 'PROJECT')),
    status text NOT NULL CHECK (status IN ('DRAFT', 'SCHEDULED', 'PUBLISHED', 'ARCHIVED')),
    slug text NOT NULL CHECK (slug <> ''),
    language text NOT NULL CHECK (language <> ''),
    title text NOT NULL CHECK (title <> ''),
    markdown text NOT NULL,
    html text NOT NULL,
    outline jsonb NOT NULL DEFAULT '[]',
    excerpt text NOT NULL DEFAULT '',
    description text,
    cover text,
    words integer NOT NULL DEFAULT 0,
    custom jsonb NOT NULL DEFAULT '{}',
    author_id uuid NOT NULL REFERENCES users,
    series_id uuid REFERENCES series ON DELETE SET NULL,
    series_position integer,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    published_at timestamptz,
    demo boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- What lists are ordered by: a draft stands where it was begun.
    listed_at timestamptz NOT NULL GENERATED ALWAYS AS (COALESCE(published_at, created_at)) STORED,
    CHECK (status NOT IN ('SCHEDULED', 'PUBLISHED') OR published_at IS NOT NULL)
);
CREATE UNIQUE INDEX posts_slug_key ON posts (slug);
CREATE INDEX posts_public_idx ON posts (listed_at DESC, id DESC) WHERE status = 'PUBLISHED';
CREATE INDEX posts_listed_idx ON posts (listed_at DESC, id DESC);
CREATE INDEX posts_created_idx ON posts (created_at DESC, id DESC);
CREATE INDEX posts_updated_idx ON posts (updated_at DESC, id DESC);
CREATE INDEX posts_author_idx ON posts (author_id, listed_at DESC, id DESC);
CREATE INDEX posts_series_idx ON posts (series_id, series_position, id) WHERE series_id IS NOT NULL;

CREATE TABLE post_revisions (
    id uuid PRIMARY KEY,
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    version integer NOT NULL,
    title text NOT NULL,
    markdown text NOT NULL,
    editor_id uuid REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX post_revisions_post_version_key ON post_revisions (post_id, version);

CREATE TABLE post_tags (
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    tag_id uuid NOT NULL REFERENCES tags ON DELETE CASCADE,
    position integer NOT NULL,
    PRIMARY KEY (post_id, tag_id)
);
CREATE INDEX post_tags_tag_id_idx ON post_tags (tag_id, post_id);

-- The posts of one group are the same piece, each in its own language.
CREATE TABLE post_translations (
    post_id uuid PRIMARY KEY REFERENCES posts ON DELETE CASCADE,
    group_key text NOT NULL CHECK (group_key <> '')
);
CREATE INDEX post_translations_group_key_idx ON post_translations (group_key);

CREATE TABLE comments (
    id uuid PRIMARY KEY,
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    parent_id uuid REFERENCES comments ON DELETE CASCADE,
    depth integer NOT NULL CHECK (depth BETWEEN 0 AND 16),
    status text NOT NULL CHECK (status IN ('PENDING', 'APPROVED', 'SPAM', 'DELETED')),
    markdown text NOT NULL,
    html text NOT NULL,
    import_key text,
    created_at timestamptz NOT NULL,
    edited_at timestamptz,
    approved_at timestamptz
);
CREATE INDEX comments_thread_idx ON comments (post_id, created_at, id) WHERE parent_id IS NULL;
CREATE INDEX comments_post_idx ON comments (post_id, created_at, id);
CREATE INDEX comments_parent_idx ON comments (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX comments_author_idx ON comments (author_id, created_at, id);
CREATE INDEX comments_pending_idx ON comments (created_at, id) WHERE status = 'PENDING';
CREATE UNIQUE INDEX comments_import_key_key ON comments (import_key);

CREATE TABLE reactions (
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('LIKE', 'LOVE', 'CELEBRATE', 'INSIGHTFUL', 'CURIOUS')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (post_id, user_id, kind)
);
CREATE INDEX reactions_user_id_idx ON reactions (user_id);

-- Who is looking at a post right now, counted per server process; a row that is not
-- refreshed belongs to a process that is gone.
CREATE TABLE presence (
    replica uuid NOT NULL,
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    viewers integer NOT NULL CHECK (viewers >= 0),
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (replica, post_id)
);
CREATE INDEX presence_post_id_idx ON presence (post_id);

-- The event log. A reader takes rows in the order of (xid, id) and only those whose xid lies
-- below its snapshot's xmin, so that a transaction that commits late is never skipped.
CREATE TABLE events (
    id bigserial PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    topic text NOT NULL,
    kind text NOT NULL,
    subject uuid NOT NULL,
    payload jsonb NOT NULL DEFAULT '{}',
    actor uuid,
    at timestamptz NOT NULL
);
CREATE INDEX events_position_idx ON events (xid, id);
CREATE INDEX events_subject_idx ON events (kind, subject, xid, id);
CREATE INDEX events_at_idx ON events (at);

CREATE TABLE jobs (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    subject uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('QUEUED', 'RUNNING', 'DONE', 'DEAD')),
    run_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    locked_until timestamptz,
    last_error text,
    created_at timestamptz NOT NULL
);
-- One open job a subject: asking again replaces, it does not repeat.
CREATE UNIQUE INDEX jobs_open_key ON jobs (kind, subject) WHERE state IN ('QUEUED', 'RUNNING');
CREATE INDEX jobs_due_idx ON jobs (run_at) WHERE state IN ('QUEUED', 'RUNNING');

-- How far the log has been pruned: a reader who comes back from before that is told so.
CREATE TABLE events_pruned (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    xid xid8 NOT NULL,
    id bigint NOT NULL
);
