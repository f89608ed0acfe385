//! The static files of the pages, compiled into the binary.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A file and its content type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WebAsset {
    /// The URL path.
    pub(crate) path: &'static str,
    content_type: &'static str,
    content: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($path:literal, $kind:expr, $file:literal) => {
        WebAsset {
            path: $path,
            content_type: $kind,
            content: include_str!(concat!("assets/", $file)),
        }
    };
}

/// Needed by both pages and by the sign-in page.
pub(super) const SHARED_ASSETS: [WebAsset; 2] = [
    asset!("/style.css", STYLE, "style.css"),
    asset!("/icon.svg", SVG, "icon.svg"),
];

/// The sign-in page.
pub(super) const SIGN_IN_PAGE: WebAsset = asset!("/signin", HTML, "signin.html");

/// The page of `talkback web`.
pub(super) const PAGE_ASSETS: [WebAsset; 11] = [
    asset!("/", HTML, "index.html"),
    asset!("/ahead.js", SCRIPT, "ahead.js"),
    asset!("/app.js", SCRIPT, "app.js"),
    asset!("/ask.js", SCRIPT, "ask.js"),
    asset!("/copy.js", SCRIPT, "copy.js"),
    asset!("/files.js", SCRIPT, "files.js"),
    asset!("/hold.js", SCRIPT, "hold.js"),
    asset!("/meter.js", SCRIPT, "meter.js"),
    asset!("/recorder.js", SCRIPT, "recorder.js"),
    asset!("/view.js", SCRIPT, "view.js"),
    asset!("/words.js", SCRIPT, "words.js"),
];

/// The bot's status page.
pub(crate) const STATUS_ASSETS: [WebAsset; 2] = [
    asset!("/", HTML, "status.html"),
    asset!("/status.js", SCRIPT, "status.js"),
];

impl WebAsset {
    /// The sign-in page after a wrong token.
    pub(super) fn into_wrong_token_response(self) -> Response {
        let text = self.content.replace("data-right", "data-wrong");
        let head = [(header::CONTENT_TYPE, self.content_type)];
        (StatusCode::UNAUTHORIZED, head, text).into_response()
    }
}

impl IntoResponse for WebAsset {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, self.content_type)], self.content).into_response()
    }
}
