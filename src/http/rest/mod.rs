//! `/api/v1`: plain JSON for builds of static sites and for scripts.
//!
//! Each address is an operation of `v1.graphql`, run as if the caller had sent it: the rights, the
//! limits, the cost and the cache are those of GraphQL. `endpoints.rs` lists the addresses,
//! `openapi.rs` describes them out of the same operations, `problem.rs` is how refusals look.

use std::collections::HashMap;
use std::sync::Arc;

use async_graphql::{Request, Value};
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, FromRequestParts, Path, Query, State};
use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use chrono::Utc;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::execute::{self, Asking, Refused};
use super::layers::{ClientAddress, RequestId};
use super::responses::{self, Offer};
use super::{HttpState, graphql, rate, viewer};
use crate::auth::Viewer;
use crate::error::{ApiError, Code};
use crate::graphql::json;

mod endpoints;
mod openapi;
pub(super) mod problem;

pub(super) use openapi::refused_with;
pub use openapi::{Described, described_by};

use endpoints::{ENDPOINTS, Endpoint};

pub(super) const BASE: &str = "/api/v1";
const DESCRIPTION_PATH: &str = "/api/v1/openapi.json";
const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub fn routes() -> Router<Arc<HttpState>> {
    let described = get(description).fallback(problem::only_get);
    let others = Router::new()
        .route(DESCRIPTION_PATH, described)
        .route("/api", any(problem::unknown))
        .route("/api/", any(problem::unknown))
        .route("/api/{*path}", any(problem::unknown));
    ENDPOINTS.iter().fold(others, |router, endpoint| {
        let answer = async move |asked: Asked| asked.answer(endpoint).await;
        router.route(&format!("{BASE}{}", endpoint.path), get(answer).fallback(problem::only_get))
    })
}

/// The OpenAPI description. It tells of the schema no more than the addresses do.
async fn description(asked: Asked) -> Response {
    match asked.pay(&Viewer::anonymous(), rate::DOCUMENT).await {
        Ok(spent) => {
            let described = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
            let mut answer = asked.state.responses.document(described, asked.state.rest.description.clone());
            spent.tell(answer.headers_mut());
            answer
        }
        Err(failure) => asked.failed(failure),
    }
}

/// A request for something.
#[derive(FromRequestParts)]
#[from_request(state(Arc<HttpState>))]
struct Asked {
    #[from_request(via(State))]
    state: Arc<HttpState>,
    #[from_request(via(Extension))]
    request_id: RequestId,
    #[from_request(via(Extension))]
    address: ClientAddress,
    path: Result<Path<HashMap<String, String>>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
}

/// Why there is no answer.
enum Failure {
    Error(ApiError),
    Overdrawn(rate::Overdrawn),
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

impl Asked {
    async fn answer(self, endpoint: &Endpoint) -> Response {
        self.find(endpoint).await.unwrap_or_else(|failure| self.failed(failure))
    }

    fn failed(&self, failure: Failure) -> Response {
        match failure {
            Failure::Error(error) => self.refuse(&error),
            Failure::Overdrawn(overdrawn) => {
                let mut response = self.refuse(&overdrawn.error());
                overdrawn.tell(response.headers_mut());
                response
            }
        }
    }

    fn refuse(&self, error: &ApiError) -> Response {
        problem::respond(error, self.uri.path(), &self.request_id)
    }

    async fn pay(&self, viewer: &Viewer, cost: u64) -> Result<rate::Spent, Failure> {
        self.state.rate.spend(viewer, self.address, cost).await.map_err(Failure::Overdrawn)
    }

    async fn find(&self, endpoint: &Endpoint) -> Result<Response, Failure> {
        let state = self.state.clone();
        let now = Utc::now();
        let version = state.responses.version();
        // What is refused is not free, and who sends a bad token pays by address.
        let entered = match viewer::of_headers(&state, &self.headers, now).await {
            Ok(viewer) => self.request(endpoint).map(|request| (viewer, request)),
            Err(error) => Err(error),
        };
        let (viewer, mut request) = match entered {
            Ok(entered) => entered,
            Err(error) => {
                self.pay(&Viewer::anonymous(), 0).await?;
                return Err(error.into());
            }
        };
        let id = self.request_id.as_str().to_owned();
        let admitted = execute::admit_own(&state, &mut request, &id);
        let entered = execute::enter_admitted(&state, &viewer, self.address, &request, admitted).await;
        let (admission, mut spent) = entered.map_err(|refused| match refused {
            Refused::Document(response) => Failure::Error(error_of(&response)),
            Refused::Forbidden(error) => Failure::Error(error),
            Refused::Overdrawn(overdrawn) => Failure::Overdrawn(overdrawn),
        })?;
        let asking = Asking { viewer, now, resume: None, request_id: id, address: self.address };
        let (response, context) = execute::once(&state, &asking, request, admission).await;
        let mut answer = match self.told(endpoint, response) {
            Ok((described, body)) => {
                spent = state.rate.add_size(spent, &asking.viewer, self.address, body.len()).await;
                if context.is_for_one() {
                    let mut answer = (described, body).into_response();
                    responses::keep_out(&mut answer);
                    answer
                } else {
                    state.responses.offer(Offer::of_query(version, Some(endpoint.operation)), described, body)
                }
            }
            Err(error) => self.refuse(&error),
        };
        spent.tell(answer.headers_mut());
        graphql::add_statement_count(answer.headers_mut(), &state, &context.statements);
        Ok(answer)
    }

    /// The operation that the address stands for.
    fn request(&self, endpoint: &Endpoint) -> Result<Request, ApiError> {
        let path = match &self.path {
            Ok(Path(path)) => path.clone(),
            Err(PathRejection::MissingPathParams(_)) => HashMap::new(),
            Err(_) => return Err(ApiError::bad_input("the address is no UTF-8 text: encode it as such")),
        };
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&self.uri)
            .map_err(|error| ApiError::bad_input(format!("the address cannot be read: {}", error.body_text())))?;
        let variables = endpoint.variables(path, query, &self.state.rest.names)?;
        Ok(Request::new(endpoints::DOCUMENT).operation_name(endpoint.operation).variables(variables))
    }

    /// What is told of an answer, with the headers that describe it. Half an answer is none: a
    /// build would go on with what is missing.
    fn told(&self, endpoint: &Endpoint, response: async_graphql::Response) -> Result<(HeaderMap, Bytes), ApiError> {
        if response.is_err() {
            return Err(error_of(&response));
        }
        let not_found = || ApiError::new(Code::NotFound, "there is no such thing here, or it is not for you");
        let unreadable = |error: serde_json::Error| ApiError::internal(&error);
        let mut data = Vec::new();
        json::write(&response.data, &mut data);
        let mut told: &RawValue = serde_json::from_slice(&data).map_err(unreadable)?;
        for name in endpoint.at {
            let fields: Option<HashMap<&str, &RawValue>> = serde_json::from_str(told.get()).map_err(unreadable)?;
            told = fields.and_then(|fields| fields.get(name).copied()).ok_or_else(not_found)?;
        }
        // A list that has no pages is an array.
        let page_info = match told.get().starts_with('[') {
            true => None,
            false => {
                serde_json::from_str::<Option<Paged>>(told.get()).map_err(unreadable)?.ok_or_else(not_found)?.page_info
            }
        };
        let mut described = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
        described.extend(page_info.and_then(|page| self.next_page(&page)).map(|link| (LINK, link)));
        Ok((described, told.get().to_owned().into()))
    }

    /// Where the next page is, RFC 8288.
    fn next_page(&self, page: &PageInfo) -> Option<HeaderValue> {
        let cursor = page.end_cursor.as_ref().filter(|_| page.has_next_page)?;
        let others = self.uri.query().into_iter().flat_map(|query| query.split('&'));
        let others = others.filter(|pair| !pair.is_empty() && !pair.starts_with("after="));
        // A cursor is of letters and digits that an address may hold as they are.
        let query: Vec<_> = others.map(str::to_owned).chain([format!("after={cursor}")]).collect();
        HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", self.uri.path(), query.join("&"))).ok()
    }
}

/// An answer that may be a page of a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paged {
    page_info: Option<PageInfo>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

/// The first error of an answer, as this API tells it.
fn error_of(response: &async_graphql::Response) -> ApiError {
    let Some(error) = response.errors.first() else { return ApiError::bad_input("there is no answer") };
    let code = error.extensions.as_ref().and_then(|extensions| extensions.get("code"));
    let code = match code {
        Some(Value::String(code)) => Code::named(code),
        _ => None,
    };
    ApiError::new(code.unwrap_or(Code::BadUserInput), error.message.clone())
}
