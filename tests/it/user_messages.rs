//! Every sentence for a user, to be read together.

use std::io;
use std::time::Duration;

use audio::AudioError;
use net::NetError;
use reqwest::StatusCode;
use talkback::chat::model_shutdown::ShutdownNotice as Shutdown;
use talkback::chat::{ChatError, EmptyReason, Interruption, InvalidResponse, RedirectTarget};
use talkback::flow::fair_queue::QueueFull;
use talkback::flow::frontend::JobFailure;
use talkback::flow::usage_rules::{AdmissionDecision, CapScope};
use talkback::flow::{PipelineError, PipelineNotice};
use talkback::models::ModelError;
use talkback::speech::{RefusedParameter, SpeechError, TranscriptionProgress};
use talkback::store::StoreError;
use talkback::ui_text;

fn http_error(code: u16, retry_after: Option<u64>) -> NetError {
    NetError::Status {
        status: StatusCode::from_u16(code).expect("a status"),
        code: None,
        message: "The provider's own words.".into(),
        retry_after: retry_after.map(Duration::from_secs),
        should_retry: None,
        request_id: None,
    }
}

/// A connection that nobody takes.
async fn connection_refused() -> NetError {
    let client = net::http_client().expect("a client");
    let error = client.get("http://127.0.0.1:9").send().await;
    error.expect_err("nobody listens").into()
}

fn provider_refusal(what: RefusedParameter) -> SpeechError {
    SpeechError::Refused {
        what,
        reason: "The provider's own words.".into(),
    }
}

fn joined(sentences: impl IntoIterator<Item = String>) -> String {
    sentences.into_iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn about_recordings() {
    let errors = [
        AudioError::Empty,
        AudioError::NotAudio,
        AudioError::NoAudioTrack,
        AudioError::UnsupportedCodec {
            codec: "AC-3".to_owned(),
        },
        AudioError::UnsupportedFile {
            kind: "a RealMedia file",
        },
        AudioError::Encrypted,
        AudioError::Damaged {
            reason: "not shown".to_owned(),
        },
        AudioError::TooManyBytes {
            limit: 512 * 1024 * 1024,
        },
        AudioError::TooLong {
            limit: Duration::from_secs(4 * 3_600),
        },
        AudioError::TooShort {
            duration: Duration::from_millis(31),
        },
        AudioError::TooManyTracks { limit: 32 },
        AudioError::NoSpeech,
        AudioError::Directory,
        AudioError::NotFound,
        AudioError::Unreadable(io::ErrorKind::PermissionDenied.into()),
        AudioError::Cancelled,
    ];
    insta::assert_snapshot!(joined(errors.into_iter().map(|error| {
        ui_text::failure(Some("note.ogg"), &PipelineError::from(error))
    })));
}

#[tokio::test]
async fn about_speech_providers() {
    let errors = [
        SpeechError::KeyRefused(http_error(401, None)),
        SpeechError::QuotaExceeded(http_error(402, None)),
        SpeechError::NotAllowed(http_error(403, None)),
        provider_refusal(RefusedParameter::Model {
            setting: "ASSEMBLYAI_SYNC_MODEL",
        }),
        provider_refusal(RefusedParameter::KeyTerms),
        provider_refusal(RefusedParameter::Language {
            model: "ASSEMBLYAI_PRERECORDED_MODELS",
        }),
        provider_refusal(RefusedParameter::Request),
        SpeechError::Overloaded(http_error(429, Some(90))),
        SpeechError::Overloaded(http_error(503, None)),
        SpeechError::Unavailable(http_error(500, None)),
        SpeechError::Unavailable(connection_refused().await),
        SpeechError::Unavailable(NetError::TooLarge { limit: 1 }),
        SpeechError::TimedOut(Duration::from_secs(200)),
        SpeechError::BadAudio {
            reason: "Audio is too quiet.".into(),
        },
        SpeechError::JobFailed {
            reason: "Something\u{1b}[31m broke.".into(),
        },
        SpeechError::UnsupportedClip,
        SpeechError::LocalEngine {
            reason: "/models/encoder_model.ort is missing".to_owned(),
            fixed_by_fetch: true,
        },
        SpeechError::LocalEngine {
            reason: "the library is too old".to_owned(),
            fixed_by_fetch: false,
        },
    ];
    let fell_back = errors.iter().filter_map(|error| {
        ui_text::notice(&PipelineNotice::ProviderFallback {
            provider: "AssemblyAI Sync",
            error,
            next: "AssemblyAI upload",
        })
    });
    let sentences = errors.iter().map(ui_text::speech_error).chain(fell_back);
    insta::assert_snapshot!(joined(sentences));
}

/// Whatever can become of an answer.
async fn chat_errors() -> Vec<ChatError> {
    vec![
        ChatError::KeyRefused(http_error(401, None)),
        ChatError::QuotaExceeded(http_error(429, None)),
        ChatError::Overloaded(http_error(429, Some(3_600))),
        ChatError::UnknownModel(http_error(404, None)),
        ChatError::Unavailable(connection_refused().await),
        ChatError::Unavailable(http_error(502, None)),
        ChatError::Refused {
            reason: "max_tokens is too large.".into(),
        },
        ChatError::StreamInterrupted {
            reason: "not shown".into(),
        },
        ChatError::StreamInterrupted {
            reason: Interruption::Silence(Duration::from_secs(30)),
        },
        ChatError::StreamInterrupted {
            reason: Interruption::DeadlineExceeded(Duration::from_secs(120)),
        },
        ChatError::StreamInterrupted {
            reason: Interruption::Server(http_error(500, None)),
        },
        ChatError::StreamInterrupted {
            reason: Interruption::InvalidResponse(InvalidResponse::Truncated),
        },
        ChatError::StreamInterrupted {
            reason: Interruption::InvalidResponse(InvalidResponse::TooLarge),
        },
        ChatError::StreamInterrupted {
            reason: Interruption::InvalidResponse(InvalidResponse::Malformed("not shown".into())),
        },
        ChatError::Unavailable(http_error(504, None)),
        ChatError::Redirected(RedirectTarget::SameApi("https://answers.example/v1".into())),
        ChatError::Redirected(RedirectTarget::Elsewhere(
            "https://sso.example/sign-in".into(),
        )),
        ChatError::Redirected(RedirectTarget::NoLocation),
        ChatError::InvalidResponse(InvalidResponse::EmptyBody),
        ChatError::InvalidResponse(InvalidResponse::WebPage),
        ChatError::InvalidResponse(InvalidResponse::Text("upstream connect error".into())),
        ChatError::InvalidResponse(InvalidResponse::Truncated),
        ChatError::InvalidResponse(InvalidResponse::Malformed("not shown".into())),
        ChatError::InvalidResponse(InvalidResponse::TooLarge),
        ChatError::EmptyAnswer(EmptyReason::OutOfTokens),
        ChatError::EmptyAnswer(EmptyReason::OnlyReasoning),
        ChatError::EmptyAnswer(EmptyReason::OnlyToolCalls),
        ChatError::EmptyAnswer(EmptyReason::Filtered),
        ChatError::EmptyAnswer(EmptyReason::Nothing),
        ChatError::TimedOut(Duration::from_secs(120)),
        ChatError::PromptTooLong,
        ChatError::LocalEngine {
            reason: "/models/model.gguf is not a GGUF file".to_owned(),
            fixed_by_fetch: false,
        },
    ]
}

#[tokio::test]
async fn about_answers() {
    let errors = chat_errors().await;
    insta::assert_snapshot!(joined(errors.iter().map(ui_text::chat_error)));
}

#[tokio::test]
async fn about_answers_in_discord() {
    let errors = chat_errors().await.into_iter();
    let failures = errors.map(|error| JobFailure::Pipeline(PipelineError::Chat(error)));
    let told: std::collections::BTreeSet<_> = failures
        .map(|failure| ui_text::bot::failure(&failure))
        .collect();
    insta::assert_snapshot!(joined(told));
}

#[tokio::test]
async fn about_models() {
    let errors = [
        ModelError::Net(connection_refused().await),
        ModelError::Net(http_error(404, None)),
        ModelError::Net(http_error(502, None)),
        ModelError::Net(NetError::Malformed {
            what: "not shown".into(),
        }),
        ModelError::NotListed { file: "model.whl" },
        ModelError::Stalled(Duration::from_secs(30)),
        ModelError::ChecksumMismatch { file: "model.whl" },
        ModelError::DiskFull {
            folder: "/models".into(),
        },
        ModelError::Disk {
            path: "/models/a.gguf".into(),
            source: io::ErrorKind::PermissionDenied.into(),
        },
    ];
    insta::assert_snapshot!(joined(errors.iter().map(ui_text::model_error)));
}

#[test]
fn about_the_ledger() {
    let errors = [
        StoreError::InUse,
        StoreError::WrongKey,
        StoreError::BadKey,
        StoreError::KeyMissing {
            path: "/data/talkback.key".into(),
        },
        StoreError::KeyUnusable {
            path: "/data/talkback.key".into(),
        },
        StoreError::DiskFull,
        StoreError::Damaged,
        StoreError::Disk {
            path: "/data".into(),
            source: io::ErrorKind::PermissionDenied.into(),
        },
        StoreError::NoRandomness,
    ];
    insta::assert_snapshot!(joined(errors.iter().map(ui_text::ledger_error)));
}

#[test]
fn about_what_is_not_taken_on() {
    let verdicts = [
        AdmissionDecision::LocalOnly(CapScope::Member),
        AdmissionDecision::CapReached(CapScope::Member),
        AdmissionDecision::CapReached(CapScope::Guild),
        AdmissionDecision::CapReached(CapScope::Global),
        AdmissionDecision::TooLong(Duration::from_secs(3_600)),
        AdmissionDecision::Cooldown(Duration::from_millis(300)),
    ];
    let full = [QueueFull::Member, QueueFull::Tenant, QueueFull::Global]
        .map(|it| ui_text::queue_full(it).to_owned());
    assert_eq!(ui_text::daily_limit_message(AdmissionDecision::Allow), None);
    let verdicts = verdicts
        .into_iter()
        .filter_map(ui_text::daily_limit_message);
    insta::assert_snapshot!(joined(verdicts.chain(full)));
}

#[test]
fn messages_about_notices_and_progress() {
    let shutdown = |days_left| {
        ui_text::model_shutdown(
            &Shutdown {
                date: "2027-01-06".to_owned(),
                days_left,
            },
            "OPENAI_MODEL",
        )
    };
    let progress = [
        TranscriptionProgress::Uploading {
            sent: 1_048_576,
            total: 10_485_760,
        },
        TranscriptionProgress::Queued,
        TranscriptionProgress::Processing,
        TranscriptionProgress::Recognizing {
            done: Duration::from_secs(61),
            total: Duration::from_secs(3_700),
        },
    ];
    let sentences = ui_text::notice(&PipelineNotice::Truncated)
        .into_iter()
        .chain([
            shutdown(44),
            shutdown(1),
            shutdown(-3),
            ui_text::NO_ASSEMBLYAI_KEY.to_owned(),
        ])
        .chain(progress.map(ui_text::progress))
        .chain(
            [0, 400, 12_000, 60_000, 185_000, 7_800_000]
                .map(|milliseconds| ui_text::format_duration(Duration::from_millis(milliseconds))),
        );
    insta::assert_snapshot!(joined(sentences));
}

#[test]
fn about_what_the_doctor_finds() {
    use std::path::Path;
    use talkback::ui_text::doctor;
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let unreachable = io::Error::from(io::ErrorKind::NetworkUnreachable);
    let folder = Path::new("/data");
    let skew = |seconds, ahead| {
        let by = Duration::from_secs(seconds);
        doctor::clock_skewed(
            "Discord",
            net::ClockSkew {
                offset: by,
                is_ahead: ahead,
            },
        )
    };
    let address = "127.0.0.1:9464".parse().expect("an address");
    let strings =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    insta::assert_snapshot!(joined([
        doctor::disk_space(folder, 5 << 30),
        doctor::low_disk_space(folder, 500 << 20),
        doctor::disk_full(folder, 50 << 20),
        doctor::disk_space_unknown(folder, &denied),
        doctor::unwritable(folder, &denied),
        doctor::ledger_intact(true, false),
        doctor::ledger_intact(false, true),
        doctor::key_exposed(Path::new("/data/talkback.key")),
        skew(45, true),
        skew(7_200, false),
        doctor::address_used_by_talkback(address),
        doctor::address_unavailable(address, &denied),
        doctor::bot_account("Talkback", "Echo", Some((0, false)), false),
        doctor::bot_account("Talkback", "Echo", Some((2_000, true)), true),
        doctor::bot_account("Talkback", "Echo", None, false),
        doctor::discord_unreachable("no answer in time", false),
        doctor::discord_unreachable("no answer in time", true),
        doctor::discord_refuses("HTTP 403, code 0"),
        doctor::gateway_unreachable("no greeting"),
        doctor::few_session_starts_left(0, 1_000, Duration::from_secs(7_200)),
        doctor::commands_differ(&strings(&["help"]), &strings(&["ask"]), &strings(&["old"])),
        doctor::permissions_complete(3, 0),
        doctor::permissions_partly_checked(100, 200),
        doctor::missing_channel_permissions(&[
            doctor::SEND_MESSAGES,
            doctor::READ_MESSAGE_HISTORY,
            doctor::ATTACH_FILES,
        ]),
        doctor::gateway_name_unresolved("gateway.discord.gg"),
        doctor::udp_blocked(&unreachable),
        doctor::voice_probe_passed("Lounge", Duration::from_millis(400), Some(true)),
        doctor::voice_probe_passed("Lounge", Duration::from_millis(400), Some(false)),
        doctor::voice_probe_passed("Lounge", Duration::from_millis(400), None),
        doctor::voice_probe_no_channel(7),
        doctor::VOICE_PROBE_ALREADY_IN_CALL.to_owned(),
        doctor::voice_probe_not_admitted(7),
        doctor::voice_probe_disconnected(Some(4_006)),
        doctor::voice_probe_disconnected(None),
        doctor::VOICE_PROBE_TIMED_OUT.to_owned(),
    ]));
}
