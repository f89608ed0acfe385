//! Logging: to standard error, off by default, with ids and sizes but never what was said.
//!
//! Three measures ensure that, whatever the filter lets through. Our own errors keep text from
//! outside in types that don't print it ([`RedactedText`](::net::RedactedText) and the like).
//! Events of libraries are logged with target, level and source line but without their message,
//! because serenity logs frames that it can't decode, and others log addresses and bodies. And the
//! keys from the settings are cut out of every line, wherever it comes from.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::LogConfig;
use crate::ui_text;

/// The crates of this workspace, whose events are logged in full. Everything else is a library.
const OUR_CRATES: [&str; 4] = [
    "talkback",
    "talkback_audio",
    "talkback_net",
    "voice_receive",
];

/// Replaces a library's message.
const LIBRARY_MESSAGE_PLACEHOLDER: &str = "a library's own words are kept out of the log";

/// Replaces a key.
const REDACTED_KEY: &str = "[key]";

/// Shorter texts are not cut out: they appear in many lines by chance.
const MIN_KEY_LEN: usize = 8;

/// The limit on a library's target, in bytes.
const MAX_TARGET_LEN: usize = 80;

/// The keys that are cut out of every line.
static REGISTERED_KEYS: Mutex<Vec<SecretString>> = Mutex::new(Vec::new());

/// Starts logging. Only the first call has an effect.
pub(crate) fn init_logging(log: &LogConfig) {
    let Some(filter) = &log.filter else {
        return;
    };
    let Ok(filter) = EnvFilter::try_new(expand_filter(filter)) else {
        return;
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(io::stderr().is_terminal())
        .with_writer(RedactingMakeWriter(io::stderr));
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(filter_fn(should_record));
    // Fails only if a logger is installed already; that one stays.
    let _ = if log.json {
        let lines = lines.json().map_event_format(PrivacyFormatter::json);
        registry.with(lines).try_init()
    } else {
        registry
            .with(lines.map_event_format(PrivacyFormatter::text))
            .try_init()
    };
}

/// Cuts `key` out of every line from now on.
pub(crate) fn register_key_for_redaction(key: &SecretString) {
    if key.expose_secret().len() >= MIN_KEY_LEN {
        registered_keys().push(key.clone());
    }
}

fn registered_keys() -> std::sync::MutexGuard<'static, Vec<SecretString>> {
    REGISTERED_KEYS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Logs where a panic occurred, not its message, which may quote what was being processed.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        let place = panic.location().map_or_else(
            || "an unknown place".to_owned(),
            |it| {
                format!(
                    "{}:{}:{}",
                    strip_registry_path(it.file()),
                    it.line(),
                    it.column()
                )
            },
        );
        if tracing::enabled!(tracing::Level::ERROR) {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("unnamed");
            tracing::error!(place, thread, "panicked");
        } else {
            let _ = writeln!(io::stderr(), "talkback: {}", ui_text::panicked(&place));
        }
        // Controlled by `RUST_BACKTRACE`. Function names contain no user data.
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            let _ = writeln!(io::stderr(), "{trace}");
        }
    }));
}

/// A bare level applies to Talkback; libraries then log warnings only. davey is off because it
/// warns about every packet that waits for its key, and about every one that needs none.
///
/// `talkback=LEVEL` applies to all crates of this workspace, so that moving code between them does
/// not change what an operator sees. A directive matches every target that starts with its name, so
/// `talkback` covers `talkback_audio` and `talkback_net`.
fn expand_filter(filter: &str) -> String {
    let ours = |level: &str| format!("talkback={level},voice_receive={level}");
    if let Ok(level) = filter.parse::<tracing::Level>() {
        return format!("warn,davey=off,{}", ours(level.as_str()));
    }
    let directives = filter.split(',').map(str::trim);
    let expanded: Vec<String> = directives
        .map(|directive| match directive.strip_prefix("talkback=") {
            Some(level) => ours(level),
            None => directive.to_owned(),
        })
        .collect();
    expanded.join(",")
}

fn is_talkback_target(target: &str) -> bool {
    let name = target.split("::").next().unwrap_or_default();
    OUR_CRATES.contains(&name)
}

/// Whether to record a span or event. Spans of libraries hold requests and messages that every line
/// inside them would repeat.
fn should_record(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() || is_talkback_target(metadata.target())
}

/// Formats our own events in full, and of libraries' events only their origin.
struct PrivacyFormatter<F> {
    inner: F,
    json: bool,
}

impl<F> PrivacyFormatter<F> {
    fn text(inner: F) -> Self {
        Self { inner, json: false }
    }

    fn json(inner: F) -> Self {
        Self { inner, json: true }
    }
}

impl<S, N, F> FormatEvent<S, N> for PrivacyFormatter<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if is_talkback_target(event.metadata().target()) {
            return self.inner.format_event(context, writer, event);
        }
        let origin = EventOrigin::from_event(event);
        let level = event.metadata().level();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        if self.json {
            let line = json!({
                "timestamp": time,
                "level": level.as_str(),
                "fields": { "message": LIBRARY_MESSAGE_PLACEHOLDER, "place": origin.place },
                "target": origin.target,
            });
            return writeln!(writer, "{line}");
        }
        let EventOrigin { target, place } = origin;
        writeln!(
            writer,
            "{time} {level:>5} {target}: {LIBRARY_MESSAGE_PLACEHOLDER} place={place}"
        )
    }
}

/// Where in a library an event comes from. Events from the `log` crate carry it in fields.
#[derive(Default)]
struct EventOrigin {
    target: String,
    place: String,
}

impl EventOrigin {
    fn from_event(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut fields = LogFieldVisitor::default();
        event.record(&mut fields);
        let file = fields.file.as_deref().or(metadata.file());
        let line = fields.line.or(metadata.line().map(u64::from));
        Self {
            target: sanitize_name(fields.target.as_deref().unwrap_or(metadata.target())),
            place: format!(
                "{}:{}",
                sanitize_name(strip_registry_path(file.unwrap_or("unknown"))),
                line.unwrap_or_default()
            ),
        }
    }
}

#[derive(Default)]
struct LogFieldVisitor {
    target: Option<String>,
    file: Option<String>,
    line: Option<u64>,
}

impl Visit for LogFieldVisitor {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "log.target" => self.target = Some(value.to_owned()),
            "log.file" => self.file = Some(value.to_owned()),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "log.line" {
            self.line = Some(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// A library's source path without this machine's registry folder.
fn strip_registry_path(file: &str) -> &str {
    let Some((_, inside)) = file.split_once("/registry/src/") else {
        return file;
    };
    inside.split_once('/').map_or(inside, |(_, file)| file)
}

/// Keeps only characters that occur in names of code.
fn sanitize_name(name: &str) -> String {
    let is_fit = |c: &char| c.is_ascii_alphanumeric() || "_-:./".contains(*c);
    name.chars().filter(is_fit).take(MAX_TARGET_LEN).collect()
}

/// Cuts keys out of every line. Each line is written in one call.
struct RedactingMakeWriter<M>(M);

struct RedactingWriter<W>(W);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for RedactingMakeWriter<M> {
    type Writer = RedactingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter(self.0.make_writer())
    }
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match redact_keys(line, &registered_keys()) {
            None => self.0.write_all(line)?,
            Some(cut) => self.0.write_all(cut.as_bytes())?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The line with every key cut out. `None` if it holds none.
fn redact_keys(line: &[u8], keys: &[SecretString]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let occurs = |key: &&SecretString| line.contains(key.expose_secret());
    let mut found = keys.iter().filter(occurs).peekable();
    found.peek()?;
    Some(found.fold(line.to_string(), |line, key| {
        line.replace(key.expose_secret(), REDACTED_KEY)
    }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A word that no log line may show.
    const SPOKEN_WORD: &str = "zebrafinch";

    #[derive(Clone, Default)]
    struct CapturedLog(Arc<Mutex<Vec<u8>>>);

    impl Write for CapturedLog {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("free").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `work` logs, as text and as JSON.
    fn capture_log(work: impl Fn()) -> [String; 2] {
        let written = [CapturedLog::default(), CapturedLog::default()];
        let [text, json] = written.clone();
        let text = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || text.clone())
            .map_event_format(PrivacyFormatter::text);
        let json = tracing_subscriber::fmt::layer()
            .json()
            .with_writer(move || json.clone())
            .map_event_format(PrivacyFormatter::json);
        let both = tracing_subscriber::registry()
            .with(filter_fn(should_record))
            .with(text)
            .with(json);
        tracing::subscriber::with_default(both, work);
        written.map(|it| {
            let bytes = it.0.lock().expect("free").clone();
            String::from_utf8(bytes).expect("text")
        })
    }

    #[test]
    fn bare_level_applies_to_talkback() {
        assert_eq!(
            expand_filter("info"),
            "warn,davey=off,talkback=INFO,voice_receive=INFO"
        );
        assert_eq!(
            expand_filter("talkback=debug,ort=off"),
            "talkback=debug,voice_receive=debug,ort=off"
        );
    }

    #[test]
    fn library_events_log_only_their_location() {
        for log in capture_log(|| {
            let span = tracing::info_span!(target: "serenity::http", "fire", request = SPOKEN_WORD);
            let _inside = span.enter();
            tracing::warn!(target: "serenity::gateway", frame = ?SPOKEN_WORD, "can't decode {SPOKEN_WORD}");
            tracing::error!(target: "talkbackward", error = SPOKEN_WORD, "{SPOKEN_WORD}");
            tracing::trace!(target: "hyper", bytes = 12, path = %SPOKEN_WORD);
            tracing::info!(target: "talkback::discord", job = 7, "done");
        }) {
            assert!(!log.contains(SPOKEN_WORD), "{log}");
            assert!(log.contains("serenity::gateway"), "{log}");
            assert!(log.contains("telemetry.rs"), "{log}");
            assert!(log.contains('7') && log.contains("done"), "{log}");
            assert_eq!(log.lines().count(), 4, "{log}");
        }
    }

    #[test]
    fn json_lines_are_valid() {
        let [_, json] = capture_log(|| tracing::warn!(target: "sqlx", "{SPOKEN_WORD}"));
        let line: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(line["target"], "sqlx");
        assert_eq!(line["level"], "WARN");
    }

    #[test]
    fn keys_are_redacted() {
        let keys = [SecretString::from("sk-123456789")];
        let cut = redact_keys(b"it said sk-123456789!", &keys);
        assert_eq!(cut.as_deref(), Some("it said [key]!"));
        assert_eq!(redact_keys(b"it said nothing", &keys), None);
    }

    #[test]
    fn locations_omit_the_build_folder() {
        let file = "/home/ana/.cargo/registry/src/index.crates.io-1949/serenity-0.12.5/src/a.rs";
        assert_eq!(strip_registry_path(file), "serenity-0.12.5/src/a.rs");
        assert_eq!(strip_registry_path("src/flow/desk.rs"), "src/flow/desk.rs");
        assert_eq!(sanitize_name("a b\n\"c::d"), "abc::d");
    }
}
