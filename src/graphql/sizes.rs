//! How large the futures of fields are. Each request copies the one of the field that it asks for, which
//! has room for the largest field of its object.

use async_graphql::{ContainerType, Context};

use super::*;

/// Bytes of the future of an object's fields.
fn fields_of<'a, T: ContainerType + 'a>() -> usize {
    fn size<'a, T: 'a, F>(_: impl FnOnce(&'a T, &'a Context<'a>) -> F) -> usize {
        size_of::<F>()
    }
    size(|object: &'a T, ctx: &'a Context<'a>| object.resolve_field(ctx))
}

#[test]
fn fields_are_small() {
    let sizes = [
        ("Query", fields_of::<Query>()),
        ("Mutation", fields_of::<Mutation>()),
        ("NodeQuery", fields_of::<node::NodeQuery>()),
        ("SiteQuery", fields_of::<site::SiteQuery>()),
        ("PostQuery", fields_of::<post::PostQuery>()),
        ("TagQuery", fields_of::<tag::TagQuery>()),
        ("SeriesQuery", fields_of::<series::SeriesQuery>()),
        ("UserQuery", fields_of::<user::UserQuery>()),
        ("CommentQuery", fields_of::<comment::CommentQuery>()),
        ("ModelQuery", fields_of::<model::ModelQuery>()),
        ("SearchQuery", fields_of::<search::SearchQuery>()),
        ("JobQuery", fields_of::<job::JobQuery>()),
        ("ConversationQuery", fields_of::<conversation::ConversationQuery>()),
        ("ReadingQuery", fields_of::<reading::ReadingQuery>()),
        ("RecommendationQuery", fields_of::<recommendation::RecommendationQuery>()),
        ("AssistQuery", fields_of::<assist::AssistQuery>()),
        ("EntityQuery", fields_of::<entity::EntityQuery>()),
        ("AccountMutation", fields_of::<account::AccountMutation>()),
        ("ApiKeyMutation", fields_of::<api_key::ApiKeyMutation>()),
        ("UserMutation", fields_of::<user::UserMutation>()),
        ("PostMutation", fields_of::<post::PostMutation>()),
        ("CommentMutation", fields_of::<comment::CommentMutation>()),
        ("ReactionMutation", fields_of::<reaction::ReactionMutation>()),
        ("TagMutation", fields_of::<tag::TagMutation>()),
        ("SeriesMutation", fields_of::<series::SeriesMutation>()),
        ("SiteMutation", fields_of::<site::SiteMutation>()),
        ("ModelMutation", fields_of::<model::ModelMutation>()),
        ("JobMutation", fields_of::<job::JobMutation>()),
        ("ChatMutation", fields_of::<chat::ChatMutation>()),
        ("ConversationMutation", fields_of::<conversation::ConversationMutation>()),
        ("ReadingMutation", fields_of::<reading::ReadingMutation>()),
        ("ProposalMutation", fields_of::<proposal::ProposalMutation>()),
        ("EntityMutation", fields_of::<entity::EntityMutation>()),
        ("Post", fields_of::<post::Post>()),
        ("Comment", fields_of::<comment::Comment>()),
        ("User", fields_of::<user::User>()),
        ("Tag", fields_of::<tag::Tag>()),
    ];
    let large: Vec<_> = sizes.into_iter().filter(|(_, bytes)| *bytes > 16 * 1024).collect();
    assert!(large.is_empty(), "box what these await: {large:?}");
}
