DROP TABLE jobs, events_pruned, events, presence, reactions, comments, post_translations, post_tags,
    post_revisions, posts, series, tags, site, api_keys, sessions, identities, users;
DROP EXTENSION vector;
