//! The page that listens and answers: what it is made of, and what it asks for.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::ask::{self, MAX_FORM_OVERHEAD_BYTES};
use super::assets::PAGE_ASSETS;
use super::uploads::{self, MAX_CHUNK_BYTES, Uploads};
use crate::flow::Pipeline;
use crate::flow::admission::Admission;
use crate::ui_text;
use audio::AudioLimits;

/// Questions that are worked on at a time. More wait in no line: whoever asks is told.
const MAX_CONCURRENT_QUESTIONS: usize = 8;

/// The largest recording: half an hour of uncompressed speech, many hours of compressed.
const MAX_RECORDING_BYTES: u64 = 128 * 1024 * 1024;

/// The longest recording.
const MAX_RECORDING_DURATION: Duration = Duration::from_secs(3_600);

/// The page, for whoever is let in.
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
    /// A page on this pipeline, whose `listeners` are tried in this order.
    #[must_use]
    pub fn new(pipeline: Pipeline, admission: Admission, listeners: &[&'static str]) -> Self {
        let limits = AudioLimits {
            bytes: pipeline.limits.bytes.min(MAX_RECORDING_BYTES),
            max_duration: pipeline.limits.max_duration.min(MAX_RECORDING_DURATION),
            ..pipeline.limits.clone()
        };
        let card = pipeline.chat.card();
        let is_here = |name: &&str| name.ends_with(crate::speech::LOCAL_NAME_SUFFIX);
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "hears": listeners,
            "answers": ui_text::model_and_host(&card.model, &card.host),
            "notice": card.notice,
            "stays_here": card.is_local() && listeners.iter().all(is_here),
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

/// What the page is made of, and what it asks for.
pub fn routes(page: PageState) -> Router {
    let largest = usize::try_from(page.0.pipeline.limits.bytes).unwrap_or(usize::MAX);
    let asking = post(ask::ask).layer(DefaultBodyLimit::max(
        largest.saturating_add(MAX_FORM_OVERHEAD_BYTES),
    ));
    let piece = DefaultBodyLimit::max(MAX_CHUNK_BYTES);
    let coming = post(uploads::receive_chunk::<false>).layer(piece);
    let last = post(uploads::receive_chunk::<true>).layer(piece);
    let mut router = Router::new()
        .route("/about", get(about))
        .route("/ask", asking)
        .route("/recordings/{id}/{from}", coming)
        .route("/recordings/{id}/{from}/last", last);
    for asset in PAGE_ASSETS {
        router = router.route(asset.path, get(async move || asset));
    }
    router.with_state(page)
}

async fn about(State(page): State<PageState>) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json")];
    (head, page.0.about_json.to_string()).into_response()
}

/// A request that is refused, with a sentence for whoever made it.
pub(super) fn refusal_response(status: StatusCode, sentence: &str) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json")];
    let body = json!({ "error": sentence }).to_string();
    (status, head, body).into_response()
}
