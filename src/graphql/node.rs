//! Global object identification: ids that are unique over the whole API.

use async_graphql::{Context, ID, Interface, Object};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::api_key::{self, ApiKey};
use super::comment::Comment;
use super::context::ContextExt;
use super::conversation::{self, ChatMessage, Conversation};
use super::entity::Entity;
use super::job::{self, Job};
use super::page;
use super::post::{Post, Revision};
use super::proposal::{self, Proposal};
use super::series::Series;
use super::tag::Tag;
use super::user::User;
use crate::error::ApiError;
use crate::store::{Sight, revisions};

/// An object with an id that is unique over the whole API.
#[derive(Interface)]
#[graphql(field(
    name = "id",
    ty = "ID",
    desc = "Unique over the whole API; give it to `node` to read the object again."
))]
pub enum Node {
    Post(Post),
    Comment(Comment),
    User(User),
    Tag(Tag),
    Series(Series),
    Revision(Revision),
    ApiKey(ApiKey),
    Job(Job),
    Conversation(Conversation),
    ChatMessage(ChatMessage),
    Proposal(Proposal),
    Entity(Entity),
}

/// The types that have global ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeType {
    Post,
    Comment,
    User,
    Tag,
    Series,
    Revision,
    ApiKey,
    Job,
    Conversation,
    ChatMessage,
    Proposal,
    Entity,
}

impl NodeType {
    const ALL: [Self; 12] = [
        Self::Post,
        Self::Comment,
        Self::User,
        Self::Tag,
        Self::Series,
        Self::Revision,
        Self::ApiKey,
        Self::Job,
        Self::Conversation,
        Self::ChatMessage,
        Self::Proposal,
        Self::Entity,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Post => "Post",
            Self::Comment => "Comment",
            Self::User => "User",
            Self::Tag => "Tag",
            Self::Series => "Series",
            Self::Revision => "Revision",
            Self::ApiKey => "ApiKey",
            Self::Job => "Job",
            Self::Conversation => "Conversation",
            Self::ChatMessage => "ChatMessage",
            Self::Proposal => "Proposal",
            Self::Entity => "Entity",
        }
    }

    /// The global id of a row.
    pub fn id(self, id: Uuid) -> ID {
        let mut named = Vec::with_capacity(48);
        named.extend_from_slice(self.name().as_bytes());
        named.push(b':');
        named.extend_from_slice(id.simple().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        ID(URL_SAFE_NO_PAD.encode(named))
    }

    /// The row's id.
    ///
    /// Errors: `BAD_USER_INPUT` when it is no id of this API, or one of another type.
    pub fn row_id(self, id: &ID) -> Result<Uuid, ApiError> {
        let (found, row) = decode(id)?;
        if found == self {
            return Ok(row);
        }
        Err(ApiError::bad_input(format!(
            "{:?} is the id of a {}, expected one of a {}",
            id.0,
            found.name(),
            self.name()
        )))
    }
}

fn decode(id: &ID) -> Result<(NodeType, Uuid), ApiError> {
    let parse = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(&id.0).ok()?).ok()?;
        let (name, row) = text.split_once(':')?;
        let kind = NodeType::ALL.into_iter().find(|kind| kind.name() == name)?;
        Some((kind, Uuid::try_parse(row).ok()?))
    };
    parse().ok_or_else(|| {
        let shown: String = id.0.chars().take(64).collect();
        ApiError::bad_input(format!("{shown:?} is not an id of this API: pass back an `id` that it gave, unchanged"))
    })
}

#[derive(Default)]
pub struct NodeQuery;

#[Object]
impl NodeQuery {
    /// Any object by its global id; null if it does not exist, or not for you.
    async fn node(&self, ctx: &Context<'_>, id: ID) -> Option<Result<Node, ApiError>> {
        find(ctx, &id).await.transpose()
    }

    /// Several objects by their global ids, at most 100, in the same order.
    async fn nodes(&self, ctx: &Context<'_>, ids: Vec<ID>) -> Result<Vec<Option<Result<Node, ApiError>>>, ApiError> {
        if ids.len() > page::MAX as usize {
            return Err(ApiError::bad_input(format!(
                "{} ids were asked for: at most {} are allowed",
                ids.len(),
                page::MAX
            )));
        }
        let found = futures_util::future::join_all(ids.iter().map(|id| find(ctx, id))).await;
        Ok(found.into_iter().map(Result::transpose).collect())
    }
}

async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Node>, ApiError> {
    let (kind, row) = decode(id)?;
    let loaders = ctx.loaders();
    Ok(match kind {
        NodeType::Post => loaders.post.load(row).await?.map(|row| Node::Post(Post(row))),
        NodeType::Comment => loaders.comment.load(row).await?.map(|row| Node::Comment(Comment(row))),
        NodeType::User => loaders.user.load(row).await?.map(|row| Node::User(User(row))),
        NodeType::Tag => loaders.tag.load(row).await?.map(|row| Node::Tag(Tag(row))),
        NodeType::Series => loaders.series.load(row).await?.map(|row| Node::Series(Series(row))),
        NodeType::Revision => revision(ctx, row).await?.map(Node::Revision),
        NodeType::ApiKey => api_key::find(ctx, row).await?.map(Node::ApiKey),
        NodeType::Job => job::find(ctx.request(), row).await?.map(Node::Job),
        NodeType::Conversation => conversation::find(ctx, row).await?.map(Node::Conversation),
        NodeType::ChatMessage => conversation::find_message(ctx, row).await?.map(Node::ChatMessage),
        NodeType::Proposal => proposal::find(ctx.request(), row).await?.map(Node::Proposal),
        NodeType::Entity => loaders.entity.load(row).await?.map(|row| Node::Entity(Entity(row))),
    })
}

/// Revisions are for those who write; for others there are none.
async fn revision(ctx: &Context<'_>, id: Uuid) -> Result<Option<Revision>, ApiError> {
    let request = ctx.request();
    if request.sight() != Sight::Everything {
        return Ok(None);
    }
    let mut conn = request.services.db.conn().await?;
    Ok(revisions::by_ids(&mut conn, &[id]).await?.pop().map(Revision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_and_names_its_type() {
        let row = Uuid::from_u128(7);
        let id = NodeType::Tag.id(row);
        assert_eq!(NodeType::Tag.row_id(&id).expect("its own type"), row);
        let wrong = NodeType::Post.row_id(&id).expect_err("another type");
        assert!(wrong.message.contains("id of a Tag"), "{}", wrong.message);
        for garbage in ["", "x", "UG9zdDox", "💥"] {
            assert!(NodeType::Post.row_id(&ID(garbage.into())).is_err(), "{garbage:?} should be refused");
        }
    }
}
