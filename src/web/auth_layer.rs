//! Authentication, and the security headers of responses.
//!
//! Without a token only this machine has access, and only under a local host name: a page of
//! another site whose name resolves here (DNS rebinding) sends its own name as `Host`. With a
//! token, a browser signs in and gets a cookie, and programs send `Authorization: Bearer TOKEN`.
//! Requests that change something must come from the page itself, as their `Origin` shows.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::sleep;
use url::{Url, form_urlencoded};

use super::assets::{SHARED_ASSETS, SIGN_IN_PAGE};
use super::connection_slots::ConnectionSlot;
use super::page::refusal_response;
use crate::ui_text;

/// The path that the sign-in form is sent to.
pub(super) const SIGN_IN_PATH: &str = "/signin";

/// The health check. It needs no token.
pub(super) const HEALTH_PATH: &str = "/healthz";

/// The name of the session cookie.
const COOKIE_NAME: &str = "talkback";

/// The cookie's lifetime in seconds: 30 days.
const COOKIE_MAX_AGE_SECONDS: u32 = 2_592_000;

/// Wrong tokens are answered one at a time, each after this delay.
const WRONG_TOKEN_DELAY: Duration = Duration::from_secs(1);

/// Only content from this server, and no framing.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; media-src 'self' blob:; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

const SECURITY_HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, CSP),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "microphone=(self), camera=(), geolocation=()",
    ),
];

/// Who has access.
#[derive(Clone)]
pub(super) struct AuthLayer(Option<Arc<AccessToken>>);

struct AccessToken {
    /// Only digests are compared, so that timing reveals nothing about the token.
    digest: [u8; 32],
    cookie: String,
    failed_attempt_lock: Mutex<()>,
}

impl AuthLayer {
    /// With a token: anyone who knows it. Without: this machine.
    pub(super) fn new(token: Option<&SecretString>) -> Self {
        Self(token.map(|token| {
            let token = token.expose_secret();
            Arc::new(AccessToken {
                digest: digest(token),
                cookie: hex(&digest(&format!("a browser that knows {token}"))),
                failed_attempt_lock: Mutex::default(),
            })
        }))
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.0 else {
            return true;
        };
        let bearer = header_str(headers, &AUTHORIZATION).and_then(|it| it.strip_prefix("Bearer "));
        if bearer.is_some_and(|it| digest(it) == token.digest) {
            return true;
        }
        let expected = digest(&token.cookie);
        parse_cookies(headers).any(|(name, value)| name == COOKIE_NAME && digest(value) == expected)
    }
}

/// Middleware in front of everything that is served.
pub(super) async fn authorize(
    State(auth): State<AuthLayer>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match check_request(&auth, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    for (name, value) in SECURITY_HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn check_request(auth: &AuthLayer, request: &Request) -> Option<Response> {
    let headers = request.headers();
    // Without a token only the host name distinguishes this machine's own pages from others.
    if auth.0.is_none() && !is_local_host_header(headers) {
        return Some(refusal_response(
            StatusCode::FORBIDDEN,
            ui_text::web::WRONG_HOST,
        ));
    }
    let is_mutating = !matches!(*request.method(), Method::GET | Method::HEAD);
    if is_mutating && !is_same_origin(headers) {
        return Some(refusal_response(
            StatusCode::FORBIDDEN,
            ui_text::web::WRONG_ORIGIN,
        ));
    }
    let path = request.uri().path();
    let is_open = [SIGN_IN_PATH, HEALTH_PATH].contains(&path)
        || SHARED_ASSETS.iter().any(|asset| asset.path == path);
    if is_open || auth.is_authorized(headers) {
        return None;
    }
    Some(match path {
        "/" => (StatusCode::UNAUTHORIZED, SIGN_IN_PAGE).into_response(),
        _ => refusal_response(StatusCode::UNAUTHORIZED, ui_text::web::SIGNED_OUT),
    })
}

/// Handles the sign-in form. A right token is kept in a cookie that scripts can't read.
pub(super) async fn sign_in(
    State(auth): State<AuthLayer>,
    slot: Option<Extension<ConnectionSlot>>,
    body: Bytes,
) -> Response {
    let Some(token) = &auth.0 else {
        return redirect_to_page().into_response();
    };
    let given = form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    if given.is_some_and(|(_, given)| digest(given.trim()) == token.digest) {
        let cookie = format!(
            "{COOKIE_NAME}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_MAX_AGE_SECONDS}",
            token.cookie
        );
        return ([(SET_COOKIE, cookie)], redirect_to_page()).into_response();
    }
    tracing::warn!("a wrong token was given");
    // Delayed connections may be evicted, so however many wait here, they keep nobody out.
    if let Some(Extension(slot)) = slot {
        slot.mark_delayed();
    }
    let guard = token.failed_attempt_lock.lock().await;
    sleep(WRONG_TOKEN_DELAY).await;
    drop(guard);
    SIGN_IN_PAGE.into_wrong_token_response()
}

fn redirect_to_page() -> impl IntoResponse {
    (StatusCode::SEE_OTHER, [(LOCATION, "/")])
}

/// Whether the `Host` header is a name that only this machine has.
fn is_local_host_header(headers: &HeaderMap) -> bool {
    let url =
        header_str(headers, &HOST).and_then(|host| Url::parse(&format!("http://{host}")).ok());
    url.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    })
}

/// Whether a request comes from a page of this site or from no page at all. Browsers always send
/// `Origin` with such requests.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let authority = |url: &Url| {
        let host = url.host_str()?.to_owned();
        Some((host, url.port_or_known_default()))
    };
    let origin = origin.to_str().ok().and_then(|it| Url::parse(it).ok());
    let Some(origin) = origin else {
        return false;
    };
    // Only the host is compared: behind a proxy that does TLS our own scheme differs.
    let host = header_str(headers, &HOST)
        .and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    host.is_some_and(|host| authority(&host) == authority(&origin) && host.host().is_some())
}

fn header_str<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn parse_cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&HeaderName, &str)| {
            let value = HeaderValue::from_str(value).expect("a value");
            ((*name).clone(), value)
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_loopback_hosts_are_local() {
        for (host, expected) in [
            ("localhost:8711", true),
            ("127.0.0.1", true),
            ("127.1.2.3:9", true),
            ("[::1]:8711", true),
            ("page.localhost", true),
            ("example.org:8711", false),
            ("localhost.example.org", false),
            ("192.168.1.2:8711", false),
            ("", false),
        ] {
            let headers = headers(&[(&HOST, host)]);
            assert_eq!(is_local_host_header(&headers), expected, "{host}");
        }
        assert!(!is_local_host_header(&HeaderMap::new()));
    }

    #[test]
    fn foreign_origins_are_rejected() {
        for (origin, host, expected) in [
            ("http://localhost:8711", "localhost:8711", true),
            ("https://talk.example.org", "talk.example.org", true),
            ("https://talk.example.org", "talk.example.org:443", true),
            ("http://localhost:8712", "localhost:8711", false),
            ("http://evil.example.org", "localhost:8711", false),
            ("null", "localhost:8711", false),
            ("http://localhost:8711", "", false),
        ] {
            let headers = headers(&[(&ORIGIN, origin), (&HOST, host)]);
            assert_eq!(is_same_origin(&headers), expected, "{origin} {host}");
        }
        assert!(is_same_origin(&HeaderMap::new()), "no browser");
    }

    #[test]
    fn a_token_comes_as_a_bearer_or_as_the_cookie() {
        let auth = AuthLayer::new(Some(&"sesame".into()));
        let cookie = auth.0.as_ref().expect("a token").cookie.clone();
        for (name, value, expected) in [
            (&AUTHORIZATION, "Bearer sesame".to_owned(), true),
            (&AUTHORIZATION, "Bearer poppy".to_owned(), false),
            (&AUTHORIZATION, "sesame".to_owned(), false),
            (&COOKIE, format!("a=b; talkback={cookie}"), true),
            (&COOKIE, "talkback=sesame".to_owned(), false),
            (&COOKIE, format!("other={cookie}"), false),
        ] {
            let headers = headers(&[(name, &value)]);
            assert_eq!(auth.is_authorized(&headers), expected, "{value}");
        }
        assert!(AuthLayer::new(None).is_authorized(&HeaderMap::new()));
    }
}
