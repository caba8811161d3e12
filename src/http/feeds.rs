//! `/feed.xml`, `/atom.xml`, `/feed.json` of the site, of each tag and of each language,
//! `/sitemap.xml` and `/robots.txt`.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, FromRequestParts, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::layers::{ClientAddress, RequestId};
use super::responses::Offer;
use super::{HttpState, graphql, rate};
use crate::auth::Viewer;
use crate::error::{ApiError, Code};
use crate::services::feeds::{self, Document, Format, Scope};
use crate::services::{ServiceError, Services};
use crate::store::StatementCount;

/// How long caches between us and the reader may go without asking.
const FIVE_MINUTES: HeaderValue = HeaderValue::from_static("public, max-age=300");

pub fn routes() -> Router<Arc<HttpState>> {
    let formats = Format::ALL.into_iter().fold(Router::new(), |router, format| {
        let of_site = async move |asked: Asked| asked.feed(Scope::Everything, format).await;
        let of_tag = async move |slug: Named, asked: Asked| match slug {
            Ok(Path(slug)) => asked.feed(Scope::Tag(slug), format).await,
            Err(rejection) => asked.unreadable(&rejection),
        };
        let of_language = async move |language: Named, asked: Asked| match language {
            Ok(Path(language)) => asked.feed(Scope::Language(language), format).await,
            Err(rejection) => asked.unreadable(&rejection),
        };
        let file = format.file();
        router
            .route(&format!("/{file}"), get(of_site))
            .route(&format!("/tags/{{slug}}/{file}"), get(of_tag))
            .route(&format!("/{{language}}/{file}"), get(of_language))
    });
    formats.route("/sitemap.xml", get(Asked::sitemap)).route("/robots.txt", get(robots))
}

/// What the address names, which may be no text.
type Named = Result<Path<String>, PathRejection>;

/// A request for a document.
#[derive(FromRequestParts)]
#[from_request(state(Arc<HttpState>))]
struct Asked {
    #[from_request(via(State))]
    state: Arc<HttpState>,
    #[from_request(via(Extension))]
    request_id: RequestId,
    #[from_request(via(Extension))]
    address: ClientAddress,
}

impl Asked {
    async fn feed(self, scope: Scope, format: Format) -> Response {
        let find = async |services: &Services| feeds::feed(services, &self.state.addresses, &scope, format).await;
        self.answer(find, &format!("{}; charset=utf-8", format.media_type())).await
    }

    async fn sitemap(self) -> Response {
        let find = async |services: &Services| feeds::sitemap(services, &self.state.addresses).await;
        self.answer(find, "application/xml; charset=utf-8").await
    }

    fn unreadable(&self, rejection: &PathRejection) -> Response {
        let told = rejection.body_text();
        let error = ApiError::bad_input(format!("the address cannot be read ({told}): write it in UTF-8"));
        graphql::refuse(&error, StatusCode::BAD_REQUEST, &self.request_id)
    }

    async fn answer(
        &self,
        find: impl AsyncFnOnce(&Services) -> Result<Option<Arc<Document>>, ServiceError>,
        content_type: &str,
    ) -> Response {
        let spent = match self.state.rate.spend(&Viewer::anonymous(), self.address, rate::DOCUMENT).await {
            Ok(spent) => spent,
            Err(overdrawn) => return overdrawn.respond(&self.request_id),
        };
        let version = self.state.responses.version();
        let statements = Arc::new(StatementCount::default());
        let services = &self.state.services;
        let services = Services { db: services.db.counting(statements.clone()), ..services.clone() };
        let refuse = |error: &ApiError| graphql::refuse(error, graphql::status_of(error.code), &self.request_id);
        let mut response = match find(&services).await {
            Ok(Some(document)) => respond(&document, version, content_type),
            Ok(None) => refuse(&ApiError::new(Code::NotFound, "there is no feed here: no such tag or language")),
            Err(error) => refuse(&error.into()),
        };
        spent.tell(response.headers_mut());
        graphql::add_statement_count(response.headers_mut(), &self.state, &statements);
        response
    }
}

async fn robots(State(state): State<Arc<HttpState>>) -> Response {
    let described =
        [(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")), (CACHE_CONTROL, FIVE_MINUTES)];
    (described, feeds::robots(&state.addresses)).into_response()
}

fn respond(document: &Document, version: u64, content_type: &str) -> Response {
    let mut described = HeaderMap::from_iter([(CACHE_CONTROL, FIVE_MINUTES)]);
    for (name, value) in [(ETAG, document.etag.as_str()), (CONTENT_TYPE, content_type)] {
        described.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    let mut answer = (described, document.text.clone()).into_response();
    answer.extensions_mut().insert(Offer::of_document(version, Some(document.changed_at)));
    answer
}
