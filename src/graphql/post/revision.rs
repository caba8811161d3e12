//! What a post said before.

use async_graphql::{Context, ID, Object};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::Post;
use crate::error::{ApiError, Code};
use crate::graphql::connection::Rows;
use crate::graphql::context::ContextExt;
use crate::graphql::node::NodeType;
use crate::graphql::page::Args;
use crate::graphql::user::User;
use crate::store::Sight;
use crate::store::revisions::{self, RevisionRow};

/// What a post said before an edit.
pub struct Revision(pub RevisionRow);

/// What a post said before an edit.
#[Object]
impl Revision {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Revision.id(self.0.id)
    }

    /// The version of the post that said this.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// The title then.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// The text as it was written.
    async fn markdown(&self, ctx: &Context<'_>) -> Result<String, ApiError> {
        ctx.request().text(self.0.markdown.clone())
    }

    /// When it was replaced.
    async fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }

    /// Who replaced it.
    async fn editor(&self, ctx: &Context<'_>) -> Option<Result<User, ApiError>> {
        Some(ctx.loaders().user.load(self.0.editor_id?).await.transpose()?.map(User))
    }

    /// The post that said this.
    async fn post(&self, ctx: &Context<'_>) -> Option<Result<Post, ApiError>> {
        Some(ctx.loaders().post.load(self.0.post_id).await.transpose()?.map(Post))
    }
}

/// One page of a post's revisions.
pub async fn of_post(ctx: &Context<'_>, post_id: Uuid, args: Args) -> Result<Rows<Revision>, ApiError> {
    if ctx.request().sight() != Sight::Everything {
        return Err(ApiError::new(Code::Forbidden, "revisions are for the owner and editors"));
    }
    let page = args.check("revisions")?;
    let rows = ctx.loaders().revisions_of_post.load((post_id, page)).await?.unwrap_or_default();
    let fields = async_graphql::connection::EmptyFields;
    Ok(Rows::new("revisions", rows, fields, |row| (revisions::key(row), row.id), Revision))
}
