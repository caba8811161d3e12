// @generated automatically by Diesel CLI.

pub mod sql_types {
    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "tsvector", schema = "pg_catalog"))]
    pub struct Tsvector;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "vector"))]
    pub struct Vector;

    #[derive(diesel::query_builder::QueryId, diesel::sql_types::SqlType)]
    #[diesel(postgres_type(name = "xid8", schema = "pg_catalog"))]
    pub struct Xid8;
}

diesel::table! {
    api_keys (id) {
        id -> Uuid,
        user_id -> Uuid,
        name -> Text,
        hint -> Text,
        token_hash -> Bytea,
        scopes -> Jsonb,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Vector;

    chunk_vectors (chunk_id, model) {
        chunk_id -> Uuid,
        model -> Text,
        post_id -> Uuid,
        language -> Text,
        embedding -> Vector,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Tsvector;

    chunks (id) {
        id -> Uuid,
        post_id -> Uuid,
        ordinal -> Int4,
        language -> Text,
        heading_path -> Jsonb,
        anchor -> Nullable<Text>,
        text -> Text,
        words -> Tsvector,
        hash -> Bytea,
    }
}

diesel::table! {
    comments (id) {
        id -> Uuid,
        post_id -> Uuid,
        author_id -> Uuid,
        parent_id -> Nullable<Uuid>,
        depth -> Int4,
        status -> Text,
        markdown -> Text,
        html -> Text,
        import_key -> Nullable<Text>,
        created_at -> Timestamptz,
        edited_at -> Nullable<Timestamptz>,
        approved_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    conversations (id) {
        id -> Uuid,
        user_id -> Uuid,
        title -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    cron_runs (name) {
        name -> Text,
        ticked_at -> Timestamptz,
    }
}

diesel::table! {
    entities (id) {
        id -> Uuid,
        kind -> Text,
        name -> Text,
        key -> Text,
        tag_id -> Nullable<Uuid>,
        edited -> Bool,
        deleted -> Bool,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    entity_names (key) {
        key -> Text,
        entity_id -> Uuid,
        name -> Text,
        given -> Bool,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Xid8;

    events (xid, id) {
        id -> Int8,
        xid -> Xid8,
        topic -> Text,
        kind -> Text,
        subject -> Uuid,
        payload -> Jsonb,
        actor -> Nullable<Uuid>,
        at -> Timestamptz,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Xid8;

    events_pruned (one) {
        one -> Bool,
        xid -> Xid8,
        id -> Int8,
    }
}

diesel::table! {
    graph_posts (post_id) {
        post_id -> Uuid,
        version -> Int4,
        rules -> Int4,
        connected_at -> Timestamptz,
        read_version -> Nullable<Int4>,
    }
}

diesel::table! {
    identities (id) {
        id -> Uuid,
        user_id -> Uuid,
        provider -> Text,
        subject -> Text,
        secret -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    jobs (id) {
        id -> Uuid,
        kind -> Text,
        subject -> Uuid,
        state -> Text,
        run_at -> Timestamptz,
        attempts -> Int4,
        locked_until -> Nullable<Timestamptz>,
        last_error -> Nullable<Text>,
        created_at -> Timestamptz,
        claim -> Nullable<Uuid>,
        priority -> Int2,
        payload -> Jsonb,
        max_attempts -> Int4,
        progress_done -> Nullable<Int8>,
        progress_total -> Nullable<Int8>,
        finished_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    messages (id) {
        id -> Uuid,
        conversation_id -> Uuid,
        role -> Text,
        content -> Text,
        citations -> Jsonb,
        finish -> Nullable<Text>,
        model -> Nullable<Text>,
        prompt_tokens -> Int4,
        completion_tokens -> Int4,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    post_days (day, post_id) {
        day -> Date,
        post_id -> Uuid,
        reads -> Int8,
    }
}

diesel::table! {
    post_entities (post_id, entity_id) {
        post_id -> Uuid,
        entity_id -> Uuid,
        weight -> Float4,
        source -> Text,
        anchor -> Nullable<Text>,
    }
}

diesel::table! {
    post_links (post_id, slug) {
        post_id -> Uuid,
        slug -> Text,
    }
}

diesel::table! {
    post_names (post_id, key) {
        post_id -> Uuid,
        key -> Text,
        by_model -> Bool,
    }
}

diesel::table! {
    post_related (post_id) {
        post_id -> Uuid,
        model -> Text,
        related -> Jsonb,
        related_ids -> Array<Nullable<Uuid>>,
        made_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    post_revisions (id) {
        id -> Uuid,
        post_id -> Uuid,
        version -> Int4,
        title -> Text,
        markdown -> Text,
        editor_id -> Nullable<Uuid>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    post_tags (post_id, tag_id) {
        post_id -> Uuid,
        tag_id -> Uuid,
        position -> Int4,
    }
}

diesel::table! {
    post_translations (post_id) {
        post_id -> Uuid,
        group_key -> Text,
        language -> Text,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Vector;

    post_vectors (post_id, model) {
        post_id -> Uuid,
        model -> Text,
        language -> Text,
        embedding -> Vector,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use super::sql_types::Tsvector;

    post_words (post_id) {
        post_id -> Uuid,
        version -> Int4,
        analysis -> Int4,
        head -> Tsvector,
        words -> Tsvector,
        indexed_at -> Timestamptz,
    }
}

diesel::table! {
    posts (id) {
        id -> Uuid,
        kind -> Text,
        status -> Text,
        slug -> Text,
        language -> Text,
        title -> Text,
        markdown -> Text,
        html -> Text,
        outline -> Jsonb,
        excerpt -> Text,
        description -> Nullable<Text>,
        cover -> Nullable<Text>,
        words -> Int4,
        custom -> Jsonb,
        author_id -> Uuid,
        series_id -> Nullable<Uuid>,
        series_position -> Nullable<Int4>,
        version -> Int4,
        published_at -> Nullable<Timestamptz>,
        demo -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        listed_at -> Timestamptz,
    }
}

diesel::table! {
    presence (replica, post_id) {
        replica -> Uuid,
        post_id -> Uuid,
        viewers -> Int4,
        seen_at -> Timestamptz,
    }
}

diesel::table! {
    proposals (id) {
        id -> Uuid,
        post_id -> Uuid,
        kind -> Text,
        status -> Text,
        content -> Jsonb,
        model -> Nullable<Text>,
        post_version -> Int4,
        created_at -> Timestamptz,
        decided_at -> Nullable<Timestamptz>,
        decided_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    reactions (post_id, user_id, kind) {
        post_id -> Uuid,
        user_id -> Uuid,
        kind -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    readers (id) {
        id -> Uuid,
        user_id -> Nullable<Uuid>,
        token_hash -> Nullable<Bytea>,
        keep -> Bool,
        used_at -> Timestamptz,
    }
}

diesel::table! {
    reads (reader_id, post_id) {
        reader_id -> Uuid,
        post_id -> Uuid,
        read_at -> Timestamptz,
        times -> Int4,
    }
}

diesel::table! {
    responses (id) {
        id -> Uuid,
        subject -> Text,
        created_at -> Timestamptz,
        messages -> Jsonb,
        body -> Jsonb,
    }
}

diesel::table! {
    series (id) {
        id -> Uuid,
        slug -> Text,
        title -> Text,
        description -> Text,
        language -> Text,
        demo -> Bool,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    sessions (id) {
        id -> Uuid,
        user_id -> Uuid,
        token_hash -> Bytea,
        created_at -> Timestamptz,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    site (id) {
        id -> Bool,
        title -> Text,
        tagline -> Text,
        description -> Text,
        language -> Text,
        links -> Jsonb,
        demo -> Bool,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    tags (id) {
        id -> Uuid,
        slug -> Text,
        name -> Text,
        description -> Text,
        demo -> Bool,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    token_usage (day, subject) {
        day -> Date,
        subject -> Text,
        prompt_tokens -> Int8,
        completion_tokens -> Int8,
    }
}

diesel::table! {
    users (id) {
        id -> Uuid,
        handle -> Text,
        name -> Text,
        email -> Nullable<Text>,
        role -> Text,
        bio -> Text,
        url -> Nullable<Text>,
        demo -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        avatar -> Nullable<Text>,
    }
}

diesel::joinable!(api_keys -> users (user_id));
diesel::joinable!(chunk_vectors -> chunks (chunk_id));
diesel::joinable!(chunk_vectors -> posts (post_id));
diesel::joinable!(chunks -> posts (post_id));
diesel::joinable!(comments -> posts (post_id));
diesel::joinable!(comments -> users (author_id));
diesel::joinable!(conversations -> users (user_id));
diesel::joinable!(entities -> tags (tag_id));
diesel::joinable!(entity_names -> entities (entity_id));
diesel::joinable!(graph_posts -> posts (post_id));
diesel::joinable!(identities -> users (user_id));
diesel::joinable!(messages -> conversations (conversation_id));
diesel::joinable!(post_days -> posts (post_id));
diesel::joinable!(post_entities -> entities (entity_id));
diesel::joinable!(post_entities -> posts (post_id));
diesel::joinable!(post_links -> posts (post_id));
diesel::joinable!(post_names -> posts (post_id));
diesel::joinable!(post_revisions -> posts (post_id));
diesel::joinable!(post_revisions -> users (editor_id));
diesel::joinable!(post_tags -> posts (post_id));
diesel::joinable!(post_tags -> tags (tag_id));
diesel::joinable!(post_vectors -> posts (post_id));
diesel::joinable!(post_words -> posts (post_id));
diesel::joinable!(posts -> series (series_id));
diesel::joinable!(posts -> users (author_id));
diesel::joinable!(presence -> posts (post_id));
diesel::joinable!(proposals -> posts (post_id));
diesel::joinable!(proposals -> users (decided_by));
diesel::joinable!(reactions -> posts (post_id));
diesel::joinable!(reactions -> users (user_id));
diesel::joinable!(readers -> users (user_id));
diesel::joinable!(reads -> posts (post_id));
diesel::joinable!(reads -> readers (reader_id));
diesel::joinable!(sessions -> users (user_id));

diesel::allow_tables_to_appear_in_same_query!(
    api_keys,
    chunk_vectors,
    chunks,
    comments,
    conversations,
    cron_runs,
    entities,
    entity_names,
    events,
    events_pruned,
    graph_posts,
    identities,
    jobs,
    messages,
    post_days,
    post_entities,
    post_links,
    post_names,
    post_related,
    post_revisions,
    post_tags,
    post_translations,
    post_vectors,
    post_words,
    posts,
    presence,
    proposals,
    reactions,
    readers,
    reads,
    responses,
    series,
    sessions,
    site,
    tags,
    token_usage,
    users,
);
