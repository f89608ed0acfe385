//! Who may come in, and what a browser may do with what it is given.
//!
//! Without a token only this machine comes in, and only under a name of this machine: a page of
//! another site whose name has been made to lead here (DNS rebinding) asks under its own. With one,
//! a browser signs in and is given a cookie, and programs send `Authorization: Bearer TOKEN`. What
//! changes something must come from the page itself, as its `Origin` says.

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

use super::assets::{COMMON, SIGN_IN};
use super::page::refused;
use super::places::Place;
use crate::words;

/// Where the token is sent.
pub(super) const SIGN_IN_PATH: &str = "/signin";

/// What tells whether all is well. Whoever watches over the bot need not know the token.
pub(super) const HEALTH_PATH: &str = "/healthz";

/// The cookie of a browser that has signed in.
const COOKIE_NAME: &str = "talkback";

/// How long it is kept, in seconds: 30 days.
const COOKIE_LIFE: u32 = 2_592_000;

/// Wrong tokens are answered one after the other, and each takes this long.
const WRONG: Duration = Duration::from_secs(1);

/// Nothing but what is served here, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; media-src 'self' blob:; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
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

/// Who may come in.
#[derive(Clone)]
pub(super) struct Guard(Option<Arc<Token>>);

struct Token {
    /// Digests are compared, so that the time it takes tells nothing.
    digest: [u8; 32],
    cookie: String,
    wrong: Mutex<()>,
}

impl Guard {
    /// With a token whoever knows it, without one whoever is on this machine.
    pub(super) fn new(token: Option<&SecretString>) -> Self {
        Self(token.map(|token| {
            let token = token.expose_secret();
            Arc::new(Token {
                digest: digest(token),
                cookie: hex(&digest(&format!("a browser that knows {token}"))),
                wrong: Mutex::default(),
            })
        }))
    }

    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.0 else {
            return true;
        };
        let bearer = text(headers, &AUTHORIZATION).and_then(|it| it.strip_prefix("Bearer "));
        if bearer.is_some_and(|it| digest(it) == token.digest) {
            return true;
        }
        let right = digest(&token.cookie);
        cookies(headers).any(|(name, value)| name == COOKIE_NAME && digest(value) == right)
    }
}

/// Stands before everything that is served.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&guard, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refusal(guard: &Guard, request: &Request) -> Option<Response> {
    let headers = request.headers();
    // Without a token the name is all that tells this machine's own pages from others'.
    if guard.0.is_none() && !names_this_machine(headers) {
        return Some(refused(StatusCode::FORBIDDEN, words::web::ANOTHER_NAME));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && !is_of_this_page(headers) {
        return Some(refused(StatusCode::FORBIDDEN, words::web::ANOTHER_PAGE));
    }
    let path = request.uri().path();
    let is_open = [SIGN_IN_PATH, HEALTH_PATH].contains(&path)
        || COMMON.iter().any(|asset| asset.path == path);
    if is_open || guard.lets_in(headers) {
        return None;
    }
    Some(match path {
        "/" => (StatusCode::UNAUTHORIZED, SIGN_IN).into_response(),
        _ => refused(StatusCode::UNAUTHORIZED, words::web::SIGNED_OUT),
    })
}

/// A browser sends the token. A right one is remembered in a cookie that no script can read.
pub(super) async fn sign_in(
    State(guard): State<Guard>,
    place: Option<Extension<Place>>,
    body: Bytes,
) -> Response {
    let Some(token) = &guard.0 else {
        return to_the_page().into_response();
    };
    let given = form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    if given.is_some_and(|(_, given)| digest(given.trim()) == token.digest) {
        let cookie = format!(
            "{COOKIE_NAME}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_LIFE}",
            token.cookie
        );
        return ([(SET_COOKIE, cookie)], to_the_page()).into_response();
    }
    tracing::warn!("a wrong token was given");
    // However many wait here, they keep nobody out.
    if let Some(Extension(place)) = place {
        place.holds();
    }
    let turn = token.wrong.lock().await;
    sleep(WRONG).await;
    drop(turn);
    SIGN_IN.wrong()
}

fn to_the_page() -> impl IntoResponse {
    (StatusCode::SEE_OTHER, [(LOCATION, "/")])
}

/// Whether a request was made under a name that only this machine has.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let url = text(headers, &HOST).and_then(|host| Url::parse(&format!("http://{host}")).ok());
    url.is_some_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(url::Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    })
}

/// Whether a request comes from a page of this site, or from no page at all: browsers always say.
fn is_of_this_page(headers: &HeaderMap) -> bool {
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
    // The scheme is the origin's: behind a proxy that does TLS ours is another.
    let host = text(headers, &HOST)
        .and_then(|host| Url::parse(&format!("{}://{host}", origin.scheme())).ok());
    host.is_some_and(|host| authority(&host) == authority(&origin) && host.host().is_some())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
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
    fn this_machine_has_few_names() {
        for (host, ours) in [
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
            assert_eq!(names_this_machine(&headers), ours, "{host}");
        }
        assert!(!names_this_machine(&HeaderMap::new()));
    }

    #[test]
    fn pages_of_others_are_told_by_their_origin() {
        for (origin, host, ours) in [
            ("http://localhost:8711", "localhost:8711", true),
            ("https://talk.example.org", "talk.example.org", true),
            ("https://talk.example.org", "talk.example.org:443", true),
            ("http://localhost:8712", "localhost:8711", false),
            ("http://evil.example.org", "localhost:8711", false),
            ("null", "localhost:8711", false),
            ("http://localhost:8711", "", false),
        ] {
            let headers = headers(&[(&ORIGIN, origin), (&HOST, host)]);
            assert_eq!(is_of_this_page(&headers), ours, "{origin} {host}");
        }
        assert!(is_of_this_page(&HeaderMap::new()), "no browser");
    }

    #[test]
    fn a_token_comes_as_a_bearer_or_as_the_cookie() {
        let guard = Guard::new(Some(&"sesame".into()));
        let cookie = guard.0.as_ref().expect("a token").cookie.clone();
        for (name, value, let_in) in [
            (&AUTHORIZATION, "Bearer sesame".to_owned(), true),
            (&AUTHORIZATION, "Bearer poppy".to_owned(), false),
            (&AUTHORIZATION, "sesame".to_owned(), false),
            (&COOKIE, format!("a=b; talkback={cookie}"), true),
            (&COOKIE, "talkback=sesame".to_owned(), false),
            (&COOKIE, format!("other={cookie}"), false),
        ] {
            let headers = headers(&[(name, &value)]);
            assert_eq!(guard.lets_in(&headers), let_in, "{value}");
        }
        assert!(Guard::new(None).lets_in(&HeaderMap::new()));
    }
}
