//! The kinds of other libraries' errors, without their texts.

use std::error::Error;
use std::fmt;
use std::io;

/// The longest chain of sources that is followed.
const MAX_CAUSE_DEPTH: usize = 8;

/// The kind of an error of another library, without its text. Those texts contain addresses with
/// tokens, parts of bodies, and messages of panics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ErrorCause(String);

impl ErrorCause {
    /// The kinds of an error and of its chain of sources, joined with `: `.
    #[must_use]
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
        let mut kinds: Vec<String> = Vec::new();
        let mut next = Some(error);
        for _ in 0..MAX_CAUSE_DEPTH {
            let Some(error) = next else { break };
            if let Some(kind) = describe_error(error).filter(|kind| !kinds.contains(kind)) {
                kinds.push(kind);
            }
            // An I/O error that wraps another one does not return it from `source`.
            let wrapped = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            next = wrapped
                .map(|it| it as &(dyn Error + 'static))
                .or_else(|| error.source());
        }
        if kinds.is_empty() {
            return Self("an error of a library".to_owned());
        }
        Self(kinds.join(": "))
    }

    /// `what`, and the name of the error's variant without its fields: "encryption (InvalidKey)".
    #[must_use]
    pub fn with_variant_name(what: &'static str, error: &impl fmt::Debug) -> Self {
        Self(format!("{what} ({})", variant_name(error)))
    }

    /// An HTTP error of Discord: the status, and the error code of its body (0 if it has none).
    #[must_use]
    pub fn from_http_status(status: u16, code: isize) -> Self {
        Self(format!("HTTP {status}, code {code}"))
    }

    /// Appends a detail that is our own text.
    #[must_use]
    pub fn with_detail(self, detail: &'static str) -> Self {
        Self(format!("{}: {detail}", self.0))
    }
}

impl From<&'static str> for ErrorCause {
    fn from(what: &'static str) -> Self {
        Self(what.to_owned())
    }
}

impl fmt::Display for ErrorCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ErrorCause {}

/// The kind of an error; `None` if it is of a library that is not known here.
fn describe_error(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ErrorCause>() {
        return Some(error.0.clone());
    }
    // The program's own errors are safe to print.
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref::<super::NetError>() {
        return Some(error.to_string());
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return describe_io_error(error);
    }
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        let kinds = [
            (error.is_builder(), "invalid request"),
            (error.is_timeout(), "not in time"),
            (error.is_connect(), "no connection"),
            (error.is_redirect(), "redirected"),
            (error.is_body(), "the body broke"),
            (error.is_decode(), "the body can't be read"),
        ];
        let kind = kinds.iter().find(|(is_so, _)| *is_so);
        return kind.map(|(_, kind)| (*kind).to_owned());
    }
    if let Some(error) = error.downcast_ref::<serde_json::Error>() {
        return Some(describe_json_error(error));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(match error {
            rustls::Error::InvalidCertificate(why) => {
                format!("the certificate is not valid ({})", variant_name(why))
            }
            other => format!("TLS ({})", variant_name(other)),
        });
    }
    #[cfg(feature = "http")]
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        let kinds = [
            (error.is_timeout(), "not in time"),
            (error.is_incomplete_message(), "cut off"),
            (
                error.is_body_write_aborted(),
                "sending the body was aborted",
            ),
            (error.is_closed(), "closed"),
            (error.is_canceled(), "cancelled"),
            (error.is_parse(), "not HTTP"),
        ];
        let kind = kinds.iter().find(|(is_so, _)| *is_so);
        return kind.map(|(_, kind)| (*kind).to_owned());
    }
    if let Some(error) = error.downcast_ref::<tokio_tungstenite::tungstenite::Error>() {
        return Some(format!("WebSocket ({})", variant_name(error)));
    }
    if let Some(error) = error.downcast_ref::<tokio::task::JoinError>() {
        let kind = if error.is_panic() {
            "a task panicked"
        } else {
            "a task was cancelled"
        };
        return Some(kind.to_owned());
    }
    None
}

/// The system's fixed text for an error number; for any other I/O error its kind.
fn describe_io_error(error: &io::Error) -> Option<String> {
    if let Some(code) = error.raw_os_error() {
        return Some(io::Error::from_raw_os_error(code).to_string());
    }
    let is_dns = error
        .get_ref()
        .is_some_and(|it| it.to_string().starts_with("failed to lookup address"));
    if is_dns {
        return Some("the name can't be resolved".to_owned());
    }
    let kind = error.kind();
    (kind != io::ErrorKind::Other).then(|| kind.to_string())
}

/// The class and position of a JSON error, without the text around it.
fn describe_json_error(error: &serde_json::Error) -> String {
    format!(
        "{:?} at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    )
}

/// The name of an enum variant, without its fields.
fn variant_name(error: &impl fmt::Debug) -> String {
    let name = format!("{error:?}");
    name.chars()
        .take_while(char::is_ascii_alphanumeric)
        .take(40)
        .collect()
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;

    /// What no way of printing may show.
    const WORD: &str = "zebrafinch";

    fn printed(error: &(impl fmt::Debug + fmt::Display)) -> String {
        format!("{error} {error:?} {error:#?}")
    }

    #[tokio::test]
    async fn causes_never_repeat_foreign_text() {
        let json = serde_json::from_str::<Vec<bool>>(r#"["zebrafinch"]"#).expect_err("not bools");
        let wrapped = io::Error::other(io::Error::other(format!("about {WORD}")));
        let url = reqwest::Client::new().get(format!("http://127.0.0.1:1/?token={WORD}"));
        let refused = url.send().await.expect_err("nothing listens there");
        let panicked = tokio::spawn(async { std::hint::black_box(None::<u8>).expect(WORD) }).await;
        let panicked = panicked.expect_err("the task panics");
        let socket = tokio_tungstenite::tungstenite::Error::Url(
            tokio_tungstenite::tungstenite::error::UrlError::UnableToConnect(WORD.to_owned()),
        );
        let errors: [&(dyn Error + 'static); 5] = [&json, &wrapped, &refused, &panicked, &socket];
        for error in errors {
            let cause = ErrorCause::from_error(error);
            assert!(!printed(&cause).contains(WORD), "{cause}");
            assert!(!cause.to_string().is_empty());
        }
        assert!(
            ErrorCause::from_error(&refused)
                .to_string()
                .contains("no connection")
        );
        assert!(
            ErrorCause::from_error(&panicked)
                .to_string()
                .contains("panicked")
        );
        let disk_full = io::Error::from_raw_os_error(28);
        assert!(
            ErrorCause::from_error(&disk_full)
                .to_string()
                .contains("os error 28")
        );
    }
}
