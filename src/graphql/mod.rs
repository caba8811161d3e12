//! The public schema.
//!
//! One noun a file or folder: its object, its queries, mutations and subscriptions. A doc comment
//! here is the API's documentation: it is written for who builds a front end. Imports `services`
//! and, for rows and pages, `store`; imported by `http` and `app`.
//!
//! A field that may be null says `Option<Result<T, ApiError>>`: then it is null where it fails, and
//! the rest of the answer stands. `Result<Option<T>, ApiError>` would take its parent with it.
//!
//! What a resolver awaits is room that each field of its object takes, also one that only reads a
//! column: a statement or a page is awaited on the heap, with `Box::pin`, as the loaders do it.
//!
//! To add a type: a file with the object around its row, a loader in `loaders.rs` if others refer
//! to it, its queries and mutations in the merged roots below, an arm in `node.rs` if it has an
//! id; then `cargo run -- schema > schema.graphql`.

use async_graphql::{MergedObject, MergedSubscription, Schema, SchemaBuilder, ValidationMode};

mod account;
mod api_key;
mod assist;
mod chat;
mod comment;
mod connection;
mod context;
mod conversation;
mod entity;
mod fields;
mod guard;
mod job;
pub mod json;
mod loaders;
mod model;
mod node;
// Open for `benches/api.rs`.
#[doc(hidden)]
pub mod page;
mod payload;
mod post;
mod proposal;
mod reaction;
mod reading;
mod recommendation;
mod search;
mod series;
mod session;
mod site;
#[cfg(test)]
mod sizes;
mod tag;
mod user;

pub use context::{RequestContext, SessionChange};
pub use guard::{Admitted, Guard, QueryLimits};
pub use node::NodeType;

/// Everything that can be read.
#[derive(MergedObject, Default)]
#[graphql(crate = "crate::graphql::fields")]
pub struct Query(
    node::NodeQuery,
    site::SiteQuery,
    post::PostQuery,
    tag::TagQuery,
    series::SeriesQuery,
    user::UserQuery,
    comment::CommentQuery,
    model::ModelQuery,
    search::SearchQuery,
    job::JobQuery,
    conversation::ConversationQuery,
    reading::ReadingQuery,
    recommendation::RecommendationQuery,
    assist::AssistQuery,
    entity::EntityQuery,
);

/// Everything that can be changed. Each mutation takes one `input` and answers with the object it
/// changed and `userErrors`, which say what was wrong with the input.
#[derive(MergedObject, Default)]
pub struct Mutation(
    account::AccountMutation,
    api_key::ApiKeyMutation,
    user::UserMutation,
    post::PostMutation,
    comment::CommentMutation,
    reaction::ReactionMutation,
    tag::TagMutation,
    series::SeriesMutation,
    site::SiteMutation,
    model::ModelMutation,
    job::JobMutation,
    chat::ChatMutation,
    conversation::ConversationMutation,
    reading::ReadingMutation,
    proposal::ProposalMutation,
    entity::EntityMutation,
);

/// Everything that can be watched. Each event carries a `cursor`: who comes back with `after` set
/// to the last one misses nothing and sees nothing twice.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    comment::CommentSubscription,
    post::PostSubscription,
    reaction::ReactionSubscription,
    model::ModelSubscription,
    job::JobSubscription,
    chat::ChatSubscription,
    assist::AssistSubscription,
);

/// The whole schema. It holds no state: each request brings its [`RequestContext`].
pub type ApiSchema = Schema<Query, Mutation, Subscription>;

/// The schema, ready to run what a [`Guard`] admitted.
pub struct Schemas {
    /// Validates each operation first.
    strict: ApiSchema,
    /// Takes it for valid.
    fast: ApiSchema,
}

impl Schemas {
    /// Errors may suggest names that the client could have meant, which tells of fields that it
    /// could not look up: not without `suggestions`.
    pub fn new(suggestions: bool) -> Self {
        let build = || if suggestions { builder() } else { builder().disable_suggestions() };
        Self { strict: build().finish(), fast: build().validation_mode(ValidationMode::Fast).finish() }
    }

    /// The one to run an operation on.
    pub fn of(&self, admitted: &Admitted) -> &ApiSchema {
        if admitted.valid { &self.fast } else { &self.strict }
    }
}

/// The schema in the GraphQL schema language.
pub fn sdl() -> String {
    builder().finish().sdl_with_options(async_graphql::SDLExportOptions::new().sorted_fields().sorted_enum_items())
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default()).register_output_type::<node::Node>()
}
