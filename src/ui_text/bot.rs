//! What the bot says in a channel.

use std::fmt::Write as _;
use std::time::Duration;

use super::{audio_error, daily_limit_message, length, progress, queue_full};
use crate::chat::{ChatError, EmptyReason, FinishReason};
use crate::flow::frontend::{FetchError, JobFailure};
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::SubmitError;
use crate::flow::session::ConsentRule;
use crate::flow::usage_rules::Prices;
use crate::flow::{PipelineError, PipelineNotice, PipelineStage};
use crate::speech::{RefusedParameter, SpeechError, TranscriptionProgress};
use crate::store::Usage;
use audio::AudioError;

/// Somebody called and said nothing.
pub const NOTHING_ASKED: &str = "Ask me something: type it after my name, or send a recording.";

/// Somebody sent something that is no recording.
pub const UNSUPPORTED_ATTACHMENT: &str =
    "I can listen to recordings and read what you type. Send me one of those.";

/// Somebody may not use the bot here.
pub const NO_ACCESS: &str =
    "In this server, only members with a certain role can use me. Ask the people who manage it.";

/// Only the author or a moderator may do this.
pub const NOT_REQUESTER: &str =
    "Only the person who asked, or someone who can manage messages, can do this.";

/// What the message showed is no longer stored.
pub const NOT_STORED: &str = "I no longer know what this was about. Send it again.";

/// It is being worked on already.
pub const STILL_WORKING: &str = "I'm still working on this one. Please wait for the answer.";

/// The ledger fails in the middle of a command.
pub const LEDGER_UNAVAILABLE: &str = "I can't look this up right now. Try again later; whoever \
     runs me can find the reason in my log.";

/// Something went wrong in the middle of a command or a pressed button.
pub const INTERNAL_ERROR: &str =
    "Something went wrong. Try again; whoever runs me can find the reason in my log.";

/// A command that the bot does not know, from an older or newer version.
pub const UNKNOWN_COMMAND: &str =
    "I no longer have this command. Restart Discord to see my current ones.";

/// A command that only works in a server.
pub const ONLY_IN_SERVERS: &str = "This only works in a server that has added me.";

/// Only those who manage the server may do this.
pub const ONLY_MANAGERS: &str = "Only members who manage the server can do this.";

/// There is nothing to be heard in a message.
pub const NO_RECORDING_IN_MESSAGE: &str = "There is no recording in this message.";

/// The answer will not fit into the time that a command's response can be changed.
pub const ANSWER_FOLLOWS_SEPARATELY: &str =
    "This is taking longer than Discord lets me wait. The answer will come as a separate message.";

/// The same for a private one, which nobody else may see.
pub const TOO_LATE: &str =
    "Your private answer took longer than Discord lets me wait. Run the command again.";

/// A command's response can soon no longer be changed, and nothing else can be written.
pub const RESPONSE_EXPIRED: &str = "This is taking longer than Discord lets me wait, and I can't \
     write here later. Ask for less at once, or send it to me in a direct message.";

/// Whoever asked has asked something else since.
pub const SUPERSEDED: &str = "-# Stopped here for a newer question.";

/// The label of a button.
pub const TRY_AGAIN: &str = "Try again";

/// The label of a button.
pub const DELETE: &str = "Delete";

/// A file could not be attached, for want of the right to.
pub const CANNOT_ATTACH_FILES: &str =
    "-# The rest is missing: I'm not allowed to attach files in this channel.";

/// Discord did not take the files.
pub const FILES_REFUSED: &str = "-# The files are missing: Discord didn't accept them.";

/// The model has answered without a word.
pub const EMPTY_ANSWER: &str =
    "The model gave an empty answer. Press “Try again”, or rephrase your question.";

/// Discord did not take the answer, for no reason that a user could mend.
pub const ANSWER_REJECTED: &str = "Discord didn't accept my answer. Press “Try again”; whoever \
     runs me can find the reason in my log.";

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
        WithheldReason::Filtered => {
            "A filter in this server or at Discord blocked my answer. Rephrase your question."
                .to_owned()
        }
        WithheldReason::Empty => EMPTY_ANSWER.to_owned(),
        WithheldReason::Rejected => ANSWER_REJECTED.to_owned(),
        WithheldReason::NoWriteAccess => format!(
            "I can't write in <#{channel}>, so my message there is missing. Ask the people who \
             manage the server to let me, or ask me here."
        ),
    }
}

/// The same for one of several messages.
pub fn withheld_part(why: WithheldReason) -> &'static str {
    match why {
        WithheldReason::Filtered => {
            "-# A part is missing here: a filter in this server or at Discord blocked it."
        }
        WithheldReason::Empty | WithheldReason::Rejected | WithheldReason::NoWriteAccess => {
            "-# A part is missing here: Discord didn't accept it."
        }
    }
}

/// Somebody's cap is reached, and the settings let the work go on here.
pub const LOCAL_FALLBACK_USED: &str = "-# Today's limit is reached, so smaller models on my own \
     machine did this. The usual ones are back after midnight UTC.";

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
            Some("-# The recording is cut off at the end; I used what there is.".to_owned())
        }
        PipelineNotice::ProviderStarted { .. } => None,
        PipelineNotice::ProviderFallback { provider, next, .. } => Some(format!(
            "-# {provider} couldn't do it; {next} listened instead."
        )),
    }
}

/// An answer that is not whole.
pub fn finish_note(end: FinishReason) -> Option<&'static str> {
    match end {
        FinishReason::Complete => None,
        FinishReason::Length => {
            Some("-# The answer stops here because it reached the length limit.")
        }
        FinishReason::ContentFilter => {
            Some("-# The provider's content filter cut the answer short.")
        }
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
            "I tried this several times and couldn't finish it. Whoever runs me can find the \
             reason in my log."
                .to_owned()
        }
    }
}

fn recording_error(error: &AudioError) -> String {
    match error {
        AudioError::TooManyBytes { limit } => recording_too_large(*limit),
        AudioError::TooLong { limit } => format!(
            "The recording is longer than {}, the limit here. Send a shorter one.",
            length(*limit)
        ),
        AudioError::Directory
        | AudioError::NotFound
        | AudioError::Unreadable(_)
        | AudioError::Cancelled => {
            "Something went wrong while I was reading the recording. Press “Try again”.".to_owned()
        }
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
            "The transcription service is overloaded. Press “Try again” in a minute.".to_owned()
        }
        SpeechError::TimedOut(_) => {
            "Transcribing the recording took too long. Press “Try again”, or send a shorter one."
                .to_owned()
        }
        SpeechError::BadAudio { .. } => {
            "The transcription service can't use this recording. Record it again.".to_owned()
        }
        SpeechError::Refused {
            what: RefusedParameter::KeyTerms | RefusedParameter::Language { .. },
            ..
        } => "The transcription service doesn't accept the languages or key terms that are set \
             here. The people who manage the server can change them under `/settings`."
            .to_owned(),
        SpeechError::UnsupportedClip => {
            "I can't listen to a recording of this length. Send a shorter or longer one.".to_owned()
        }
        SpeechError::Audio(error) => recording_error(error),
        SpeechError::KeyRefused(_)
        | SpeechError::QuotaExceeded(_)
        | SpeechError::NotAllowed(_)
        | SpeechError::Refused { .. }
        | SpeechError::Unavailable(_)
        | SpeechError::JobFailed { .. }
        | SpeechError::LocalEngine { .. } => {
            "I can't transcribe recordings right now. Press “Try again” later; whoever runs me can \
             find the reason in my log."
                .to_owned()
        }
    }
}

fn chat_error(error: &ChatError) -> String {
    match error {
        ChatError::LlmGateway(error) => chat_error(error),
        ChatError::Overloaded(_) => {
            "The model is overloaded. Press “Try again” in a minute.".to_owned()
        }
        ChatError::TimedOut(_) => "The model did not answer in time. Press “Try again”.".to_owned(),
        ChatError::StreamInterrupted { .. } => {
            "The answer broke off in the middle. Press “Try again”.".to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OutOfTokens) => {
            "The model thought for too long and had no room left for an answer. Press “Try again”, \
             or ask for less at once."
                .to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OnlyReasoning) => {
            "The model thought about it and then gave no answer. Press “Try again”.".to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::OnlyToolCalls) => {
            "The model wanted to use a tool that I don't have, and gave no answer. Press “Try \
             again”, or rephrase your question."
                .to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::Filtered) => {
            "The provider's content filter blocked the answer. Rephrase your question.".to_owned()
        }
        ChatError::EmptyAnswer(EmptyReason::Nothing) => EMPTY_ANSWER.to_owned(),
        ChatError::PromptTooLong => {
            "This is more than the model can read at once. Send something shorter.".to_owned()
        }
        ChatError::KeyRefused(_)
        | ChatError::QuotaExceeded(_)
        | ChatError::UnknownModel(_)
        | ChatError::Unavailable(_)
        | ChatError::Redirected(_)
        | ChatError::InvalidResponse(_)
        | ChatError::Refused { .. }
        | ChatError::LocalEngine { .. } => {
            "I can't answer right now. Press “Try again” later; whoever runs me can find the \
             reason in my log."
                .to_owned()
        }
    }
}

fn fetch_error(error: &FetchError) -> String {
    match error {
        FetchError::Gone => "The recording is no longer there. Send it again.".to_owned(),
        FetchError::TooLarge(limit) => recording_too_large(*limit),
        FetchError::NotCdnUrl => {
            "The recording isn't on Discord's servers. Upload it here.".to_owned()
        }
        FetchError::Net(_) => {
            "I couldn't get the recording from Discord. Press “Try again” in a minute.".to_owned()
        }
        FetchError::Disk(_) => "I have no space for the recording right now. Press “Try again” \
             later; whoever runs me can find the reason in my log."
            .to_owned(),
    }
}

/// Why a request was not taken on.
pub fn request_refused(refused: &SubmitError) -> String {
    match refused {
        SubmitError::NotAdmitted(rules) => daily_limit_message(*rules).unwrap_or_default(),
        SubmitError::NoAccess => NO_ACCESS.to_owned(),
        SubmitError::QueueFull(reason) => queue_full(*reason).to_owned(),
        SubmitError::ShuttingDown => "I'm being restarted. Send this again in a minute.".to_owned(),
        SubmitError::Store(_) => {
            "I can't take this on right now. Send it again later; whoever runs me can find the \
             reason in my log."
                .to_owned()
        }
    }
}

/// What the bot can do.
pub fn help(notes: bool) -> String {
    let notes = if notes {
        "- Send a voice message here or in a direct message, and I answer it."
    } else {
        "- Send me a voice message directly, and I answer it. In this channel, I only answer when \
         called."
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
         - `/reset` starts the conversation over, `/usage` shows what was used, `/privacy` \
         explains what happens to recordings, `/forget-me` deletes what I've stored about you.\n\
         - If you manage the server, choose channels and more with `/settings`."
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
            " I ask AssemblyAI to delete what was uploaded as soon as I have the words; it says \
             that anything it still keeps is gone after 30 days. It may use recordings to improve \
             its models unless whoever runs me has opted out."
        }
        Some(AssemblyAiRetention::Kept) => {
            " AssemblyAI keeps recordings and their words for the time set in the account of \
             whoever runs me, 30 days by default. It may use them to improve its models unless \
             whoever runs me has opted out."
        }
    };
    format!(
        "**What happens to what you say**\n\
         - I only listen to recordings sent to me: in direct messages, in channels where this is \
         turned on, or when you call me. I only read messages addressed to me.\n\
         - Recordings go to: {listeners}. I delete them here as soon as they're \
         transcribed.{given}\n\
         - The words, and what you type to me, go to: {answerer}.\n\
         - Words and answers are kept for {days} days, encrypted, so that you can continue a \
         conversation. Minutes, tokens and cost are counted per member.\n\
         - If you delete your message, I delete my answer and what I stored of it. `/forget-me` \
         deletes everything I've stored about you, except how much you used today, which I keep \
         until midnight UTC without any of your words. What I wrote in channels stays there until \
         it's deleted. I don't train anything on what you say."
    )
}

/// Everything of a person is to be deleted, and the ledger can't be written.
pub const DELETION_NOT_SAVED: &str = "From now on I won't use anything I've stored about you. I \
     couldn't delete it just now and will keep trying, but if I'm restarted first, I'll lose track \
     of it. Use `/forget-me` again later to be sure.";

/// Everything of a person has been deleted.
pub fn user_data_deleted(jobs: u64, turns: u64) -> String {
    format!(
        "Done: I deleted {jobs} requests and {turns} pieces of conversation. What you used today \
         still counts until midnight UTC. My answers in channels stay until you delete your \
         messages or press “Delete” under them."
    )
}

/// A conversation has been forgotten.
pub fn conversation_reset(turns: u64, whole: bool) -> String {
    match (turns, whole) {
        (0, _) => "There was nothing to forget here.".to_owned(),
        (_, true) => "Forgotten. The conversation here starts over.".to_owned(),
        (_, false) => "I've forgotten what you said here and what I answered you.".to_owned(),
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
        minutes.map_or("the bot's limit".to_owned(), |minutes| {
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
         - Daily limit per member: {}; for the server: {}\n\
         - Voice sessions: {}; I transcribe {}",
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
            ConsentRule::Ask => "only people who have agreed",
            ConsentRule::Notice => "everyone except people who have declined",
        },
    )
}

/// Why a change of settings is not made.
pub fn too_many(what: &str, most: usize) -> String {
    format!("That's too many: the limit is {most} {what}.")
}

/// A language code that is none, plain where it is shown.
pub fn invalid_language(code: &str) -> String {
    format!("“{code}” isn't a language code. Use codes such as `en` or `pt`, separated by commas.")
}
