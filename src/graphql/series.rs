//! Series: posts that belong together in an order.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::connection::Rows;
use super::context::ContextExt;
use super::node::NodeType;
use super::page::Args;
use super::payload::{UserError, outcome};
use super::post::{self, Post, PostTotals};
use crate::error::ApiError;
use crate::services::organising;
use crate::store::posts::PostParent;
use crate::store::series::{self, SeriesChanges, SeriesRow};

/// Posts that belong together in an order.
#[derive(Clone)]
pub struct Series(pub Arc<SeriesRow>);

/// Posts that belong together in an order.
#[Object(crate = "crate::graphql::fields")]
impl Series {
    /// Unique over the whole API.
    pub async fn id(&self) -> ID {
        NodeType::Series.id(self.0.id)
    }

    /// The unique name in addresses.
    async fn slug(&self) -> &str {
        &self.0.slug
    }

    /// As plain text.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// What the series is about, as plain text.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// BCP 47 tag of its language.
    async fn language(&self) -> &str {
        &self.0.language
    }

    /// Its parts, in their order.
    async fn posts(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Post, PostTotals>, ApiError> {
        post::under(ctx, PostParent::Series, self.0.id, Args { first, after, last, before }).await
    }
}

/// How many series there are in all.
pub struct SeriesTotals;

/// How many series there are in all.
#[Object]
impl SeriesTotals {
    /// How many there are in all; computed only when asked for.
    async fn total_count(&self, ctx: &Context<'_>) -> Result<i64, ApiError> {
        let request = ctx.request();
        Ok(Box::pin(series::count(&mut *request.services.db.conn().await?, request.sight())).await?)
    }
}

#[derive(Default)]
pub struct SeriesQuery;

#[Object]
impl SeriesQuery {
    /// A series by its slug. One without a published post is shown to the owner and editors only.
    async fn series(&self, ctx: &Context<'_>, slug: String) -> Option<Result<Series, ApiError>> {
        let find = async {
            let request = ctx.request();
            let row = series::by_slug(&mut *request.services.db.conn().await?, slug, request.sight()).await?;
            Ok(row.map(|row| Series(Arc::new(row))))
        };
        find.await.transpose()
    }

    /// All series, by slug. Those without a published post are shown to the owner and editors only.
    async fn all_series(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Rows<Series, SeriesTotals>, ApiError> {
        let page = Args { first, after, last, before }.check("series")?;
        let request = ctx.request();
        let rows = series::page(&mut *request.services.db.conn().await?, &page, request.sight()).await?;
        Ok(Rows::new("series", rows, SeriesTotals, |row| (series::key(row), row.id), |row| Series(Arc::new(row))))
    }
}

/// A new series.
#[derive(InputObject)]
struct CreateSeriesInput {
    /// At most 200 characters.
    title: String,
    /// The unique name in addresses; made from the title when absent.
    slug: Option<String>,
    /// What it is about, as plain text.
    #[graphql(default)]
    description: String,
    /// BCP 47 tag, such as `en` or `zh`.
    language: String,
}

/// What to change; absent fields stay as they are.
#[derive(InputObject)]
struct UpdateSeriesInput {
    /// The series.
    id: ID,
    /// At most 200 characters.
    title: Option<String>,
    /// The unique name in addresses.
    slug: Option<String>,
    /// As plain text.
    description: Option<String>,
    /// BCP 47 tag.
    language: Option<String>,
}

/// Which series to delete.
#[derive(InputObject)]
struct DeleteSeriesInput {
    /// The series.
    id: ID,
}

/// The series, or what was wrong.
#[derive(SimpleObject)]
struct SeriesPayload {
    /// The series as it is now; null when the input was refused.
    series: Option<Series>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

/// The id of the series that is gone, or what was wrong.
#[derive(SimpleObject)]
struct DeleteSeriesPayload {
    /// The id of what is gone.
    deleted_id: Option<ID>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct SeriesMutation;

#[Object]
impl SeriesMutation {
    /// Makes a series. For the owner and editors.
    async fn create_series(&self, ctx: &Context<'_>, input: CreateSeriesInput) -> Result<SeriesPayload, ApiError> {
        let request = ctx.request();
        let CreateSeriesInput { title, slug, description, language } = input;
        let done =
            organising::create_series(&request.services, &request.actor, title, slug, description, language).await;
        payload(ctx, outcome(done)?)
    }

    /// Changes a series. For the owner and editors.
    async fn update_series(&self, ctx: &Context<'_>, input: UpdateSeriesInput) -> Result<SeriesPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Series.row_id(&input.id)?;
        let UpdateSeriesInput { title, slug, description, language, .. } = input;
        let changes = SeriesChanges { slug, title, description, language };
        payload(ctx, outcome(organising::update_series(&request.services, &request.actor, id, changes).await)?)
    }

    /// Deletes a series; its posts stay, on their own. For the owner and editors.
    async fn delete_series(
        &self,
        ctx: &Context<'_>,
        input: DeleteSeriesInput,
    ) -> Result<DeleteSeriesPayload, ApiError> {
        let request = ctx.request();
        let id = NodeType::Series.row_id(&input.id)?;
        let (done, user_errors) = outcome(organising::delete_series(&request.services, &request.actor, id).await)?;
        request.renew_loaders();
        Ok(DeleteSeriesPayload { deleted_id: done.map(|()| input.id), user_errors })
    }
}

fn payload(
    ctx: &Context<'_>,
    (row, user_errors): (Option<SeriesRow>, Vec<UserError>),
) -> Result<SeriesPayload, ApiError> {
    ctx.request().renew_loaders();
    Ok(SeriesPayload { series: row.map(|row| Series(Arc::new(row))), user_errors })
}
