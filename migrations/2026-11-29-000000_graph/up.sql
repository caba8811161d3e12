-- What the site is about: the things that its posts name, by all their names, and where.
CREATE TABLE entities (
    id uuid PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('PERSON', 'PROJECT', 'PLACE', 'TECHNOLOGY', 'TAG', 'CONCEPT')),
    name text NOT NULL CHECK (name <> ''),
    -- The name as it is compared and sorted by.
    key text NOT NULL CHECK (key <> ''),
    tag_id uuid REFERENCES tags ON DELETE SET NULL,
    -- Somebody added, renamed, merged or deleted it: what is read out of posts changes it no more.
    edited boolean NOT NULL DEFAULT false,
    -- It keeps its names, so that it does not come back.
    deleted boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
CREATE INDEX entities_key_idx ON entities (key, id);
CREATE UNIQUE INDEX entities_tag_id_key ON entities (tag_id);

-- Which thing a name means. What was merged keeps its names here, under what it was merged into.
CREATE TABLE entity_names (
    key text PRIMARY KEY,
    entity_id uuid NOT NULL REFERENCES entities ON DELETE CASCADE,
    name text NOT NULL
);
CREATE INDEX entity_names_entity_id_idx ON entity_names (entity_id);

-- Published posts only.
CREATE TABLE post_entities (
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    entity_id uuid NOT NULL REFERENCES entities ON DELETE CASCADE,
    -- Below 1: named once, in a way that may mean nothing.
    weight real NOT NULL CHECK (weight > 0),
    source text NOT NULL CHECK (source IN ('RULE', 'LINK', 'MODEL')),
    -- The id of the heading above the place where it is first named.
    anchor text,
    PRIMARY KEY (post_id, entity_id)
);
CREATE INDEX post_entities_entity_id_idx ON post_entities (entity_id, post_id);

-- Which posts a published post links to, by their slugs: some may come later.
CREATE TABLE post_links (
    post_id uuid NOT NULL REFERENCES posts ON DELETE CASCADE,
    slug text NOT NULL,
    PRIMARY KEY (post_id, slug)
);
CREATE INDEX post_links_slug_idx ON post_links (slug);

-- What the graph was made of: the version of each post, the rules it was read by, and when.
CREATE TABLE graph_posts (
    post_id uuid PRIMARY KEY REFERENCES posts ON DELETE CASCADE,
    version integer NOT NULL,
    rules integer NOT NULL,
    connected_at timestamptz NOT NULL,
    -- The version that a model has read.
    read_version integer
);
