//! The site itself.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};

use super::context::ContextExt;
use super::payload::{UserError, outcome};
use crate::error::ApiError;
use crate::services::caching;
use crate::services::organising::{self, SiteEdit};
use crate::store::site::SiteRow;

/// How the site describes itself.
pub struct Site(Arc<SiteRow>);

/// How the site describes itself.
#[Object]
impl Site {
    /// The name of the site.
    async fn title(&self) -> &str {
        &self.0.title
    }

    /// One line under the title.
    async fn tagline(&self) -> &str {
        &self.0.tagline
    }

    /// A paragraph for feeds and search engines, as plain text.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// BCP 47 tag of the site's main language.
    async fn language(&self) -> &str {
        &self.0.language
    }

    /// Where else the owner is to be found.
    async fn links(&self) -> Vec<SiteLink> {
        let text = |link: &serde_json::Value, name: &str| {
            link.get(name).and_then(|v| v.as_str()).unwrap_or_default().to_owned()
        };
        let links = self.0.links.as_array().into_iter().flatten();
        links.map(|link| SiteLink { name: text(link, "name"), url: text(link, "url") }).collect()
    }

    /// When the description was last changed.
    async fn updated_at(&self) -> DateTime<Utc> {
        self.0.updated_at
    }
}

/// A link with its name.
#[derive(SimpleObject)]
pub struct SiteLink {
    /// What to call it.
    name: String,
    /// Where it leads.
    url: String,
}

#[derive(Default)]
pub struct SiteQuery;

#[Object]
impl SiteQuery {
    /// How the site describes itself.
    async fn site(&self, ctx: &Context<'_>) -> Result<Site, ApiError> {
        let request = ctx.request();
        Ok(Site(caching::site(&request.services, request.actor.now).await?))
    }
}

/// A link with its name.
#[derive(InputObject)]
struct SiteLinkInput {
    /// What to call it.
    name: String,
    /// An http, https or mailto address.
    url: String,
}

/// What to change; absent fields stay as they are.
#[derive(InputObject)]
struct UpdateSiteInput {
    /// The name of the site.
    title: Option<String>,
    /// One line.
    tagline: Option<String>,
    /// A paragraph, as plain text.
    description: Option<String>,
    /// BCP 47 tag, such as `en` or `zh`.
    language: Option<String>,
    /// All links, in order.
    links: Option<Vec<SiteLinkInput>>,
}

/// The site, or what was wrong.
#[derive(SimpleObject)]
struct UpdateSitePayload {
    /// The site as it is now; null when the input was refused.
    site: Option<Site>,
    /// What was wrong with the input; empty when it was accepted.
    user_errors: Vec<UserError>,
}

#[derive(Default)]
pub struct SiteMutation;

#[Object]
impl SiteMutation {
    /// Changes how the site describes itself. For the owner.
    async fn update_site(&self, ctx: &Context<'_>, input: UpdateSiteInput) -> Result<UpdateSitePayload, ApiError> {
        let request = ctx.request();
        let edit = SiteEdit {
            title: input.title,
            tagline: input.tagline,
            description: input.description,
            language: input.language,
            links: input.links.map(|links| links.into_iter().map(|link| (link.name, link.url)).collect()),
        };
        let (row, user_errors) = outcome(organising::update_site(&request.services, &request.actor, edit).await)?;
        Ok(UpdateSitePayload { site: row.map(|row| Site(Arc::new(row))), user_errors })
    }
}
