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

use super::ask::{self, LARGEST_FORM};
use super::assets::PAGE;
use super::coming::{self, Coming, LARGEST_PIECE};
use crate::flow::Pipeline;
use crate::flow::admission::Admission;
use crate::words;
use audio::Limits;

/// Questions that are worked on at a time. More wait in no line: whoever asks is told.
const AT_ONCE: usize = 8;

/// The largest recording: half an hour of uncompressed speech, many hours of compressed.
const LARGEST: u64 = 128 * 1024 * 1024;

/// The longest recording.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The page, for whoever is let in.
#[derive(Clone)]
pub struct Page(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) pipeline: Pipeline,
    pub(super) admission: Admission,
    pub(super) places: Arc<Semaphore>,
    pub(super) coming: Arc<Coming>,
    about: Value,
}

impl Page {
    /// A page on this pipeline, whose `listeners` are tried in this order.
    #[must_use]
    pub fn new(pipeline: Pipeline, admission: Admission, listeners: &[&'static str]) -> Self {
        let limits = Limits {
            bytes: pipeline.limits.bytes.min(LARGEST),
            duration: pipeline.limits.duration.min(LONGEST),
            ..pipeline.limits.clone()
        };
        let card = pipeline.chat.card();
        let is_here = |name: &&str| name.ends_with(crate::speech::LOCAL);
        let about = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "hears": listeners,
            "answers": words::model(&card.model, &card.host),
            "notice": card.notice,
            "stays_here": card.is_local() && listeners.iter().all(is_here),
            "longest_seconds": limits.duration.as_secs(),
            "largest_bytes": limits.bytes,
        });
        let pipeline = Pipeline { limits, ..pipeline };
        Self(Arc::new(Shared {
            pipeline,
            admission,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            coming: Arc::default(),
            about,
        }))
    }
}

/// What the page is made of, and what it asks for.
pub fn routes(page: Page) -> Router {
    let largest = usize::try_from(page.0.pipeline.limits.bytes).unwrap_or(usize::MAX);
    let asking = post(ask::ask).layer(DefaultBodyLimit::max(largest.saturating_add(LARGEST_FORM)));
    let piece = DefaultBodyLimit::max(LARGEST_PIECE);
    let coming = post(coming::piece::<false>).layer(piece);
    let last = post(coming::piece::<true>).layer(piece);
    let mut router = Router::new()
        .route("/about", get(about))
        .route("/ask", asking)
        .route("/recordings/{id}/{from}", coming)
        .route("/recordings/{id}/{from}/last", last);
    for asset in PAGE {
        router = router.route(asset.path, get(async move || asset));
    }
    router.with_state(page)
}

async fn about(State(page): State<Page>) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json")];
    (head, page.0.about.to_string()).into_response()
}

/// A request that is refused, with a sentence for whoever made it.
pub(super) fn refused(status: StatusCode, sentence: &str) -> Response {
    let head = [(header::CONTENT_TYPE, "application/json")];
    let body = json!({ "error": sentence }).to_string();
    (status, head, body).into_response()
}
