//! What the bot says in a channel.

use std::fmt::Write as _;
use std::time::Duration;

use super::{audio_error, daily_limit_message, length, progress, queue_full};
use crate::chat::{ChatError, EmptyReason, FinishReason};
use crate::flow::consent::ConsentRule;
use crate::flow::frontend::{FetchError, JobFailure};
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::SubmitError;
use crate::flow::usage_rules::Prices;
use crate::flow::{PipelineError, PipelineNotice, PipelineStage};
use crate::speech::{RefusedParameter, SpeechError, TranscriptionProgress};
use crate::store::Usage;
use audio::AudioError;

/// Somebody called and said nothing.
pub const NOTHING_ASKED: &str = "Ask me something: type it after my name, or send a recording.";

/// Somebody sent something that is no recording.
pub const UNSUPPORTED_ATTACHMENT: &str = "I can listen to recordings and read what you type. Send one of \
     these.";

/// Somebody may not use the bot here.
pub const NO_ACCESS: &str = "In this server only members with a certain role may use me. Ask \
     those who manage it.";

/// Only the author or a moderator may do this.
pub const NOT_REQUESTER: &str =
    "Only whoever asked, or somebody who may manage messages, can do this.";

/// What the message showed is no longer stored.
pub const NOT_STORED: &str = "I no longer know what this was about. Send it again.";

/// It is being worked on already.
pub const STILL_WORKING: &str = "I am still at it. Wait for the answer first.";

/// The ledger fails in the middle of a command.
pub const LEDGER_UNAVAILABLE: &str = "I can't look this up at the moment. Try again later; whoever runs me \
     finds the reason in my log.";

/// Something went wrong in the middle of a command or a pressed button.
pub const INTERNAL_ERROR: &str = "I stumbled over this. Try again; whoever runs me finds the reason in \
     my log.";

/// A command that the bot does not know, from an older or newer version.
pub const UNKNOWN_COMMAND: &str = "I don't know this command any more. Restart Discord to see my \
     present ones.";

/// A command that only works in a server.
pub const ONLY_IN_SERVERS: &str = "This works only in a server that has added me.";

/// Only those who manage the server may do this.
pub const ONLY_MANAGERS: &str = "Only members who may manage the server can do this.";

/// There is nothing to be heard in a message.
pub const NO_RECORDING_IN_MESSAGE: &str = "There is no recording in this message.";

/// The answer will not fit into the time that a command's response can be changed.
pub const ANSWER_FOLLOWS_SEPARATELY: &str = "This takes longer than Discord lets me wait. The answer comes as a \
     message of its own.";

/// The same for a private one, which nobody else may see.
pub const TOO_LATE: &str = "Your private answer took longer than Discord lets me wait. Run the \
     command again.";

/// A command's response can soon no longer be changed, and nothing else can be written.
pub const RESPONSE_EXPIRED: &str = "This takes longer than Discord lets me wait, and I can't write here \
     later. Ask for less at once, or send it to me directly.";

/// Whoever asked has asked something else since.
pub const SUPERSEDED: &str = "-# Left here for a newer question.";

/// The label of a button.
pub const TRY_AGAIN: &str = "Try again";

/// The label of a button.
pub const DELETE: &str = "Delete";

/// A file could not be attached, for want of the right to.
pub const CANNOT_ATTACH_FILES: &str =
    "-# The rest is missing: I may not attach files in this channel.";

/// Discord did not take the files.
pub const FILES_REFUSED: &str = "-# The files are missing: Discord did not take them.";

/// The model has answered without a word.
pub const EMPTY_ANSWER: &str = "The model answered without a word. Press “Try again”, or ask in other \
     words.";

/// Discord did not take the answer, for no reason that a user could mend.
pub const ANSWER_REJECTED: &str = "Discord did not take my answer. Press “Try again”; whoever runs me \
     finds the reason in my log.";

/// Why there is only a sentence where a message should be.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum WithheldReason {
    /// A filter did not let it through.
    Filtered,
    /// There was nothing to be seen in it.
    Empty,
    /// Discord did not take it, for no reason that a user could mend.
    Rejected,
    /// The bot may not write there.
    NoWriteAccess,
}

/// What stands in the place of a message that Discord refuses.
pub fn withheld_message(why: WithheldReason, channel: u64) -> String {
    match why {
        WithheldReason::Filtered => "A filter of this server or of Discord did not let my answer \
             through. Ask in other words."
            .to_owned(),
        WithheldReason::Empty => EMPTY_ANSWER.to_owned(),
        WithheldReason::Rejected => ANSWER_REJECTED.to_owned(),
        WithheldReason::NoWriteAccess => format!(
            "I can't write in <#{channel}>, so what I have to say there is missing. Ask those who \
             manage the server to let me, or ask me here."
        ),
    }
}

/// The same for one of several messages.
pub fn withheld_part(why: WithheldReason) -> &'static str {
    match why {
        WithheldReason::Filtered => {
            "-# A part is missing here: a filter of this server or of Discord \
             did not let it through."
        }
        WithheldReason::Empty | WithheldReason::Rejected | WithheldReason::NoWriteAccess => {
            "-# A part is missing here: Discord did not take it."
        }
    }
}

/// Somebody's cap is reached, and the settings let the work go on here.
pub const LOCAL_FALLBACK_USED: &str = "-# What a day allows is used up, so smaller models on my own \
     machine did this. After midnight UTC the others are back.";

/// The first reply in a server says this once.
pub fn first_reply(listeners: &str, days: u64) -> String {
    format!(
        "-# First time here: recordings sent to me go to {listeners}; I keep the words for {days} \
         days, encrypted. More: /privacy"
    )
}

/// What is being done, for the message that becomes the answer.
pub fn job_status(
    stage: Option<PipelineStage>,
    recording: Option<Duration>,
    at: Option<TranscriptionProgress>,
    place: Option<(usize, usize)>,
) -> String {
    let mut line = "-# ".to_owned();
    match (stage, recording) {
        (Some(PipelineStage::Answering), _) => line.push_str("Thinking"),
        (None, _) => line.push_str("One moment"),
        (Some(PipelineStage::Decoding | PipelineStage::Transcribing), Some(recording)) => {
            let _ = write!(line, "Listening to {}", length(recording));
        }
        (Some(PipelineStage::Decoding | PipelineStage::Transcribing), None) => {
            line.push_str("Listening")
        }
    }
    if stage != Some(PipelineStage::Answering) {
        if let Some((number, of)) = place.filter(|(_, of)| *of > 1) {
            let _ = write!(line, ", {number} of {of}");
        }
        if let Some(at) = at {
            let _ = write!(line, " · {}", progress(at));
        }
    }
    line.push('…');
    line
}

/// Something on the way that deserves a line.
pub fn notice(notice: &PipelineNotice<'_>) -> Option<String> {
    match notice {
        PipelineNotice::Truncated => {
            Some("-# The recording ends in the middle; I used what there is of it.".to_owned())
        }
        PipelineNotice::ProviderStarted { .. } => None,
        PipelineNotice::ProviderFallback { provider, next, .. } => Some(format!(
            "-# {provider} could not do it; {next} listened instead."
        )),
    }
}

/// An answer that is not whole.
pub fn finish_note(end: FinishReason) -> Option<&'static str> {
    match end {
        FinishReason::Complete => None,
        FinishReason::Length => {
            Some("-# The answer ends here because it reached its longest length.")
        }
        FinishReason::ContentFilter => Some("-# The provider's content filter cut the answer."),
    }
}

/// Why there is no answer.
pub fn failure(failure: &JobFailure) -> String {
    match failure {
        JobFailure::Pipeline(PipelineError::Audio(error)) => recording_error(error),
        JobFailure::Pipeline(PipelineError::Speech(error)) => speech_error(error),
        JobFailure::Pipeline(PipelineError::Chat(error)) => chat_error(error),
        JobFailure::Fetch(error) => fetch_error(error),
        JobFailure::NotAdmitted(rules) => daily_limit_message(*rules).unwrap_or_default(),
        JobFailure::Undeliverable => ANSWER_REJECTED.to_owned(),
        JobFailure::ReplyExpiring => RESPONSE_EXPIRED.to_owned(),
        JobFailure::Unreadable => {
            "I can no longer read what was asked here. Send it again.".to_owned()
        }
        JobFailure::TooManyAttempts(_) => {
            "I stumbled over this several times and gave up. Whoever runs \
             me finds the reason in my log."
                .to_owned()
        }
    }
}

fn recording_error(error: &AudioError) -> String {
    match error {
        AudioError::TooManyBytes { limit } => recording_too_large(*limit),
        AudioError::TooLong { limit } => format!(
            "The recording is longer than {}, which is all I may listen to. Send a shorter one.",
            length(*limit)
        ),
        AudioError::Directory
        | AudioError::NotFound
        | AudioError::Unreadable(_)
        | AudioError::Cancelled => "Something went wrong here while I read the recording. Press \
             “Try again”."
            .to_owned(),
        _ => audio_error("The recording", error),
    }
}

fn recording_too_large(limit: u64) -> String {
    format!(
        "The recording is larger than {}, the limit here. Send a shorter one.",
        super::bytes(limit)
    )
}

fn speech_error(error: &SpeechError) -> String {
    match error {
        SpeechError::Overloaded(_) => {
            "The service that writes recordings down is overloaded. Press \
             “Try again” in a minute."
                .to_owned()
        }
        SpeechError::TimedOut(_) => "Writing the recording down took too long. Press “Try again”, \
             or send a shorter one."
            .to_owned(),
        SpeechError::BadAudio { .. } => "The service that writes recordings down can't use this \
             one. Record it again."
            .to_owned(),
        SpeechError::Refused {
            what: RefusedParameter::KeyTerms | RefusedParameter::Language { .. },
            ..
        } => {
            "The service that writes recordings down does not take the languages or key terms that \
             are set here. Whoever manages the server can change them under `/settings`."
                .to_owned()
        }
        SpeechError::UnsupportedClip => {
            "I can't listen to recordings of this length. Send one of another length.".to_owned()
        }
        SpeechError::Audio(error) => recording_error(error),
        SpeechError::KeyRefused(_)
        | SpeechError::QuotaExceeded(_)
        | SpeechError::NotAllowed(_)
        | SpeechError::Refused { .. }
        | SpeechError::Unavailable(_)
        | SpeechError::JobFailed { .. }
        | SpeechError::LocalEngine { .. } => {
            "I can't write recordings down at the moment. Press “Try \
             again” later; whoever runs me finds the reason in my log."
                .to_owned()
        }
    }
}

fn chat_error(error: &ChatError) -> String {
    match error {
        ChatError::LlmGateway(error) => chat_error(error),
        ChatError::Overloaded(_) => {
            "The model that answers is overloaded. Press “Try again” in a minute.".to_owned()
        }
        ChatError::TimedOut(_) => "The model did not answer in time. Press “Try again”.".to_owned(),
        ChatError::StreamInterrupted { .. } => {
            "The answer broke off in the middle. Press “Try again”.".to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OutOfTokens) => {
            "The model thought too long and had no room \
             left for an answer. Press “Try again”, or ask about less."
                .to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OnlyReasoning) => {
            "The model thought about it and then gave no \
             answer. Press “Try again”."
                .to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OnlyToolCalls) => {
            "The model wanted to use a tool that I don't have, \
             and gave no answer. Press “Try again”, or ask in other words."
                .to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::Filtered) => {
            "The provider's content filter held the answer back. Ask in other words.".to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::Nothing) => EMPTY_ANSWER.to_owned(),
        ChatError::PromptTooLong => {
            "This is longer than the model can read at once. Ask about less.".to_owned()
        }
        ChatError::KeyRefused(_)
        | ChatError::QuotaExceeded(_)
        | ChatError::UnknownModel(_)
        | ChatError::Unavailable(_)
        | ChatError::Redirected(_)
        | ChatError::InvalidResponse(_)
        | ChatError::Refused { .. }
        | ChatError::LocalEngine { .. } => {
            "I can't answer at the moment. Press “Try again” later; \
             whoever runs me finds the reason in my log."
                .to_owned()
        }
    }
}

fn fetch_error(error: &FetchError) -> String {
    match error {
        FetchError::Gone => "The recording is no longer there. Send it again.".to_owned(),
        FetchError::TooLarge(limit) => recording_too_large(*limit),
        FetchError::NotCdnUrl => {
            "The recording does not lie on Discord's servers. Send it here.".to_owned()
        }
        FetchError::Net(_) => {
            "Discord did not give me the recording. Press “Try again” in a minute.".to_owned()
        }
        FetchError::Disk(_) => "I have no room for the recording at the moment. Press “Try again” \
             later; whoever runs me finds the reason in my log."
            .to_owned(),
    }
}

/// Why a request was not taken on.
pub fn request_refused(refused: &SubmitError) -> String {
    match refused {
        SubmitError::NotAdmitted(rules) => daily_limit_message(*rules).unwrap_or_default(),
        SubmitError::NoAccess => NO_ACCESS.to_owned(),
        SubmitError::QueueFull(reason) => queue_full(*reason).to_owned(),
        SubmitError::ShuttingDown => {
            "I am just being restarted. Send this again in a minute.".to_owned()
        }
        SubmitError::Store(_) => {
            "I can't take this on at the moment. Send it again later; whoever \
             runs me finds the reason in my log."
                .to_owned()
        }
    }
}

/// What the bot can do.
pub fn help(notes: bool) -> String {
    let notes = if notes {
        "- Send a voice message here or in a direct message, and I answer it."
    } else {
        "- Send me a voice message directly, and I answer it. In this channel I wait to be called."
    };
    format!(
        "**Talk, and I answer in writing.**\n{notes}\n\
         - Reply to one of my answers, by voice or typed, to go on with the conversation.\n\
         - Type `/ask`, or mention me with a question.\n\
         - Open the menu of any voice message, then *Apps*: **Transcribe** writes it down just for \
         you, **Answer this** answers it.\n\
         - `/transcribe` turns a file into text or subtitles.\n\
         - `/join` brings me into your voice channel: I write down who says what, answer when you \
         call me by my name, and leave a transcript and a summary. `/leave` ends it.\n\
         - `/reset` starts the conversation anew, `/usage` shows what was used, `/privacy` tells \
         what happens to recordings, `/forget-me` deletes what I have of you.\n\
         - Those who manage the server choose channels and more with `/settings`."
    )
}

/// Who hears, who answers, and how long anything is kept.
#[derive(Clone, Debug)]
pub struct DataHandling {
    /// Who writes recordings down, in the order in which they are tried.
    pub transcribers: String,
    /// The model, and where it runs.
    pub chat_model: String,
    /// Days that words are kept.
    pub retention_days: u64,
    /// What becomes of what AssemblyAI is given, if it is given anything.
    pub assemblyai_retention: Option<AssemblyAiRetention>,
}

/// What becomes of recordings that AssemblyAI was given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AssemblyAiRetention {
    /// It is asked to delete uploads and transcripts.
    Deleted,
    /// The operator has it keep them.
    Kept,
}

/// What happens to what people say.
pub fn privacy(practice: &DataHandling) -> String {
    let DataHandling {
        transcribers: listeners,
        chat_model: answerer,
        retention_days: days,
        assemblyai_retention: given,
    } = practice;
    let given = match given {
        None => "",
        Some(AssemblyAiRetention::Deleted) => {
            " AssemblyAI is asked to delete what was uploaded to it as soon as I have the words; what \
             it keeps by itself, it says, is gone after 30 days. It may use recordings to improve its \
             models unless whoever runs me has opted out."
        }
        Some(AssemblyAiRetention::Kept) => {
            " AssemblyAI keeps recordings and their words for as long as the account of whoever runs \
             me says, 30 days by default. It may use them to improve its models unless whoever runs \
             me has opted out."
        }
    };
    format!(
        "**What happens to what you say**\n\
         - I listen only to recordings that are sent to me: in direct messages, in channels where \
         this is switched on, or when you call me. I read messages only if they are to me.\n\
         - Recordings go to: {listeners}. They are deleted here as soon as they are written \
         down.{given}\n\
         - The words, and what you type to me, go to: {answerer}.\n\
         - Words and answers are kept for {days} days, encrypted, so that you can go on with a \
         conversation. Minutes, tokens and cost are counted per member.\n\
         - Delete your message and I delete my answer and what I stored of it. `/forget-me` \
         deletes everything I have of you, and keeps what you used today, without a word of it, until \
         midnight UTC. What I wrote into channels stays there until it is deleted. I train nothing \
         with what you say."
    )
}

/// Everything of a person is to be deleted, and the ledger can't be written.
pub const DELETION_NOT_SAVED: &str = "From now on I use nothing that I have of you. I could not \
     delete it at the moment, and go on trying: if I am restarted before, I will have forgotten \
     that I should. Use `/forget-me` once more later to be sure.";

/// Everything of a person has been deleted.
pub fn user_data_deleted(jobs: u64, turns: u64) -> String {
    format!(
        "Done: {jobs} requests and {turns} pieces of conversation are deleted. What you used today \
         still counts until midnight UTC. My answers in channels stay until you delete your \
         messages or press “Delete” under them."
    )
}

/// A conversation has been forgotten.
pub fn conversation_reset(turns: u64, whole: bool) -> String {
    match (turns, whole) {
        (0, _) => "There was nothing to forget here.".to_owned(),
        (_, true) => "Forgotten. The conversation here starts anew.".to_owned(),
        (_, false) => "Forgotten, what you said here and what I answered you.".to_owned(),
    }
}

/// What a member used on a day, as one line.
pub fn daily_usage_line(date: &str, member: u64, used: &Usage, prices: &Prices) -> String {
    let mut line = format!(
        "{date} · <@{member}> · {} · {} tokens",
        length(Duration::from_secs(used.audio_ms.div_ceil(1_000))),
        used.tokens_in.saturating_add(used.tokens_out)
    );
    if *prices != Prices::default() {
        let _ = write!(line, " · about {}", format_money(used.micros));
    }
    line
}

/// An amount of money, from millionths: `0.0123`.
pub fn format_money(micros: u64) -> String {
    format!("{}.{:04}", micros / 1_000_000, micros % 1_000_000 / 100)
}

/// Nothing was used.
pub fn no_usage(days: i64) -> String {
    format!("Nothing was used in the last {days} days.")
}

/// The title over what was used.
pub fn usage_title(days: i64, all: &Usage, prices: &Prices) -> String {
    let mut title = format!(
        "**The last {days} days (UTC)**: {}, {} tokens",
        length(Duration::from_secs(all.audio_ms.div_ceil(1_000))),
        all.tokens_in.saturating_add(all.tokens_out)
    );
    if *prices != Prices::default() {
        let _ = write!(title, ", about {}", format_money(all.micros));
    }
    title
}

/// The settings of a server, to be looked at. `terms` and `prompt` are shortened, and plain where
/// they are shown.
pub fn server_settings(settings: &GuildSettings, terms: &str, prompt: Option<&str>) -> String {
    let list = |items: Vec<String>, none: &str| {
        if items.is_empty() {
            none.to_owned()
        } else {
            items.join(", ")
        }
    };
    let notes = settings
        .note_channels
        .iter()
        .map(|id| format!("<#{id}>"))
        .collect();
    let minutes = |minutes: Option<u32>| {
        minutes.map_or("as the bot allows".to_owned(), |minutes| {
            format!("{minutes} minutes")
        })
    };
    let role = settings.required_role;
    format!(
        "**Settings of this server**\n\
         - Voice messages are answered in: {}\n\
         - Languages: {}\n\
         - Key terms: {}\n\
         - System prompt: {}\n\
         - Who may use me: {}\n\
         - Answers to commands: {}\n\
         - A day, per member: {}; for the server: {}\n\
         - Voice sessions: {}; written down is {}",
        list(notes, "no channel; `/settings notes` changes this"),
        list(settings.languages.clone(), "any"),
        if terms.is_empty() { "none" } else { terms },
        prompt.unwrap_or("the bot's own"),
        role.map_or("everyone".to_owned(), |role| format!("<@&{role}>")),
        if settings.private_by_default {
            "private"
        } else {
            "for everyone"
        },
        minutes(settings.member_minutes),
        minutes(settings.guild_minutes),
        super::voice_session::answer_mode(settings.voice_answers),
        match settings.voice_consent {
            ConsentRule::Ask => "only who has agreed",
            ConsentRule::Notice => "everybody but who has declined",
        },
    )
}

/// Why a change of settings is not made.
pub fn too_many(what: &str, most: usize) -> String {
    format!("That is too much: {most} {what} are the most.")
}

/// A language code that is none, plain where it is shown.
pub fn invalid_language(code: &str) -> String {
    format!("“{code}” is no language code. Use codes such as `en` or `pt`, separated by commas.")
}
