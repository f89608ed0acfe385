//! The page of `talkback web`: its routes and shared state.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::ask;
use super::ask_form::MAX_FORM_OVERHEAD_BYTES;
use super::assets::PAGE_ASSETS;
use super::uploads::{self, MAX_CHUNK_BYTES, Uploads};
use crate::flow::Pipeline;
use crate::flow::admission::Admission;
use crate::ui_text;
use audio::AudioLimits;

/// The limit on questions that are worked on at a time. There is no queue: further ones are
/// refused.
const MAX_CONCURRENT_QUESTIONS: usize = 8;

/// The limit on a recording: half an hour of uncompressed speech, or many hours of compressed.
const MAX_RECORDING_BYTES: u64 = 128 * 1024 * 1024;

/// The limit on a recording's duration.
const MAX_RECORDING_DURATION: Duration = Duration::from_secs(3_600);

/// The state that the routes share.
#[derive(Clone)]
pub struct PageState(pub(super) Arc<PageStateInner>);

pub(super) struct PageStateInner {
    pub(super) pipeline: Pipeline,
    pub(super) admission: Admission,
    pub(super) question_slots: Arc<Semaphore>,
    pub(super) uploads: Arc<Uploads>,
    about_json: Value,
}

impl PageState {
    /// A page for this pipeline. `transcriber_names` are the speech providers in the order in which
    /// they are tried.
    #[must_use]
    pub fn new(
        pipeline: Pipeline,
        admission: Admission,
        transcriber_names: &[&'static str],
    ) -> Self {
        let limits = AudioLimits {
            bytes: pipeline.limits.bytes.min(MAX_RECORDING_BYTES),
            max_duration: pipeline.limits.max_duration.min(MAX_RECORDING_DURATION),
            ..pipeline.limits.clone()
        };
        let card = pipeline.chat.card();
        let is_local = |name: &&str| name.ends_with(crate::speech::LOCAL_NAME_SUFFIX);
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "hears": transcriber_names,
            "answers": ui_text::model_and_host(&card.model, &card.host),
            "notice": card.notice,
            "stays_here": card.is_local() && transcriber_names.iter().all(is_local),
            "longest_seconds": limits.max_duration.as_secs(),
            "largest_bytes": limits.bytes,
        });
        let pipeline = Pipeline { limits, ..pipeline };
        Self(Arc::new(PageStateInner {
            pipeline,
            admission,
            question_slots: Arc::new(Semaphore::new(MAX_CONCURRENT_QUESTIONS)),
            uploads: Arc::default(),
            about_json: about,
        }))
    }
}

/// The page's files and endpoints.
pub fn routes(page: PageState) -> Router {
    let max_bytes = usize::try_from(page.0.pipeline.limits.bytes).unwrap_or(usize::MAX);
    let ask = post(ask::ask).layer(DefaultBodyLimit::max(
        max_bytes.saturating_add(MAX_FORM_OVERHEAD_BYTES),
    ));
    let chunk_limit = DefaultBodyLimit::max(MAX_CHUNK_BYTES);
    let chunk = post(uploads::receive_chunk::<false>).layer(chunk_limit);
    let last_chunk = post(uploads::receive_chunk::<true>).layer(chunk_limit);
    let mut router = Router::new()
        .route("/about", get(about))
        .route("/ask", ask)
        .route("/recordings/{id}/{from}", chunk)
        .route("/recordings/{id}/{from}/last", last_chunk);
    for asset in PAGE_ASSETS {
        router = router.route(asset.path, get(async move || asset));
    }
    router.with_state(page)
}

async fn about(State(page): State<PageState>) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json")];
    (head, page.0.about_json.to_string()).into_response()
}

/// A refusal, with a sentence for the user.
pub(super) fn refusal_response(status: StatusCode, sentence: &str) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json")];
    let body = json!({ "error": sentence }).to_string();
    (status, head, body).into_response()
}
