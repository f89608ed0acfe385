//! What the bot says about voice sessions: joining, consent, the live notices and the end.

use std::fmt::Write as _;
use std::time::Duration;

use super::bot::{DataHandling, format_money};
use super::{daily_limit_message, format_duration};
use crate::flow::consent::ConsentRule;
use crate::flow::session::actor::{HearingCheckResult, SessionCost};
use crate::flow::session::report::ReceptionReport;
use crate::flow::session::summary::{SessionSummary, SummaryError};
use crate::flow::session::transcript_view::CannotHearReason;
use crate::flow::session::{AnswerMode, SessionEndReason};
use crate::flow::usage_rules::AdmissionDecision;
use crate::flow::usage_rules::Prices;

/// A button's label.
pub const AGREE: &str = "Transcribe me";

/// A button's label.
pub const DECLINE: &str = "Don't";

/// A button's label.
pub const CHECK_BUTTON: &str = "Can you hear me?";

/// A speaker whose name is not known.
pub const SOMEBODY: &str = "Somebody";

/// Every speech provider fails; what is said meanwhile is marked as missing.
pub const TRANSCRIPTION_FAILING: &str = "-# I can hear you, but I can't transcribe right now. I'll \
     keep trying, and mark what's missing.";

/// A filter blocked the message with the latest lines.
pub const LINES_WITHHELD: &str = "-# Some lines aren't shown here: a filter in this server or at \
     Discord blocked them. You'll find them in the transcript at the end.";

/// The process stops; the next one resumes the session.
pub const RESTART: &str =
    "-# I'm being restarted. If you're still here in two minutes, I'll come back and continue.";

/// A command needs a session and there is none in this server.
pub const NO_SESSION: &str = "I'm not in a voice channel here. Use `/join` to bring me into yours.";

/// `/join` without a channel by a member who is in none.
pub const NOT_IN_VOICE: &str = "Join a voice channel first, or name one: `/join channel`.";

/// `/join` for a stage channel.
pub const STAGE_UNSUPPORTED: &str = "I can't listen on a stage: Discord encrypts it differently, \
     and the audience hasn't agreed to be transcribed. Use a regular voice channel.";

/// The bot lacks permissions in the voice channel.
pub const MISSING_CONNECT_PERMISSION: &str = "I'm not allowed to join this voice channel. Ask the \
     people who manage the server to give me *View Channel* and *Connect* there.";

/// The bot lacks permissions in the text channel.
pub const MISSING_SEND_PERMISSION: &str = "I'm not allowed to write in this channel, and the \
     transcript goes here. Run `/join` in another one, or give me *Send Messages*.";

/// The bot lacks permissions in the thread that the transcript would go to.
pub const MISSING_THREAD_SEND_PERMISSION: &str = "I'm not allowed to write in this thread, and the \
     transcript goes here. Run `/join` in a channel, or give me *Send Messages in Threads*.";

/// The thread that the transcript would go to is locked.
pub const THREAD_LOCKED: &str = "This thread is locked, and the transcript goes here. Run `/join` \
     in another channel, or have it unlocked.";

/// The bot is timed out in the server.
pub const TIMED_OUT: &str = "I'm timed out in this server, so I can't speak or join a call. Ask \
     the people who manage the server to lift the timeout, then run `/join` again.";

/// The recording notice could not be posted, so the bot left without listening.
pub const NOTICE_NOT_POSTED: &str = "I left without listening, because I couldn't post my notice \
     to everyone in the call here. Run `/join` in a channel where I can write.";

/// The voice channel is full.
pub const CHANNEL_FULL: &str =
    "The voice channel is full. Make room for one more, or raise its limit.";

/// Discord did not let the bot join, without a reason.
pub const JOIN_REJECTED: &str = "Discord didn't let me into the voice channel. Check that I'm \
     allowed to connect and that there's room, then run `/join` again.";

/// The shard has no connection to the gateway.
pub const NO_GATEWAY: &str =
    "My connection to Discord is down right now. Run `/join` again in a minute.";

/// The voice server did not answer in time.
pub const NO_VOICE_SERVER: &str = "Discord's voice server isn't answering me. Run `/join` again in \
     a minute; whoever runs me can find the reason in my log.";

/// Discord closed the voice connection with this close code.
pub fn voice_server_rejected(code: u16) -> String {
    match code {
        4_017 => "Discord requires end-to-end encryption for this call, and I couldn't set it up. \
                  Whoever runs me should update me."
            .to_owned(),
        code => format!(
            "Discord ended the call for me (code {code}). Run `/join` again in a few minutes."
        ),
    }
}

/// A session is running or starting in this server.
pub fn already_in_session(channel: Option<u64>) -> String {
    match channel {
        Some(channel) => format!(
            "I'm already in <#{channel}>, and I can only be in one voice channel at a time. End \
             that session with `/leave` first."
        ),
        None => "I'm on my way. One moment.".to_owned(),
    }
}

/// The last session still has to post its result.
pub const STILL_ENDING: &str =
    "I'm still finishing the last session. Run `/join` again once its result is here.";

/// The private answer to `/join`.
pub fn session_started(voice: u64) -> String {
    format!("I'm in <#{voice}>.")
}

/// The notice in the text channel when a session begins. It has the consent buttons.
pub fn session_notice(
    asked_by: &str,
    voice: u64,
    consent: ConsentRule,
    answers: AnswerMode,
    data: &DataHandling,
) -> String {
    let consent_rule = consent_rule(consent);
    let model = match answers {
        AnswerMode::Never => String::new(),
        _ => format!(" Questions and the summary go to {}.", data.chat_model),
    };
    format!(
        "**{asked_by} asked me to listen in <#{voice}>.** I'll write down here who says what, \
         {}.\n{consent_rule} You can change your mind at any time; I'll remember it for this server.\n-# \
         Voices go to {}, and I keep no audio.{model} I keep the words for {} days, encrypted. \
         `/leave` ends this, `/privacy` explains more.",
        match answers {
            AnswerMode::Auto => "and answer what you ask me by name, or anything if you're alone",
            AnswerMode::Always => "and answer what is asked",
            AnswerMode::Name => "and answer what you ask me by name",
            AnswerMode::Command => "and only answer commands",
            AnswerMode::Never => "without answering",
        },
        data.transcribers,
        data.retention_days
    )
}

/// Who is transcribed under this rule.
fn consent_rule(consent: ConsentRule) -> &'static str {
    match consent {
        ConsentRule::Ask => {
            "I only transcribe people who press **Transcribe me**; what anyone else says is \
             dropped unheard."
        }
        ConsentRule::Notice => {
            "I transcribe everyone in the call, except people who press **Don't**: what they say \
             is dropped unheard."
        }
    }
}

/// The session was resumed after a restart.
pub const SESSION_RESUMED: &str = "-# I'm back and listening again.";

/// The notice in the text channel when a moderator moves the bot to another voice channel.
pub fn moved(voice: u64, consent: ConsentRule) -> String {
    format!(
        "**I was moved to <#{voice}>, and I'm listening there now.**\n{} `/leave` ends this.",
        consent_rule(consent)
    )
}

/// The bot is server-deafened or suppressed and receives no audio.
pub fn cannot_hear(reason: CannotHearReason) -> &'static str {
    match reason {
        CannotHearReason::Deafened => {
            "I'm deafened in this call and can't hear anyone; what's said now will be missing from \
             the transcript. A moderator can undeafen me: right-click me in the call, *Server \
             Deafen*."
        }
        CannotHearReason::Suppressed => {
            "I'm suppressed in this call and may not hear anyone; what's said now may be missing \
             from the transcript. A moderator can give me *Speak* in this channel."
        }
    }
}

/// The bot receives audio again.
pub const CAN_HEAR_AGAIN: &str = "-# I can hear you again.";

/// A member's daily limit is reached during a session.
pub fn member_limit_message(member: u64, decision: AdmissionDecision) -> String {
    let why = daily_limit_message(decision).unwrap_or_default();
    format!("-# I've stopped transcribing <@{member}>. {why}")
}

/// The answer to the consent button.
pub const AGREED: &str = "Thank you. From now on I'll transcribe what you say in this server's \
     calls. Press **Don't** to stop that right away.";

/// The answer to the decline button.
pub const DECLINED: &str = "Understood. What you say is dropped unheard in all of this server's \
     calls, and what you said in this one won't be in any file or summary. Press **Transcribe me** \
     if you change your mind.";

/// The same when the ledger could not be written.
pub const DECLINED_UNWRITTEN: &str = "Understood. From now on what you say is dropped unheard in \
     all of this server's calls. I couldn't save your choice and will keep trying, but if I'm \
     restarted first, I'll forget it. Press **Don't** again later to be sure.";

/// The first answer to “Can you hear me?”.
pub const HEARING_CHECK_PROMPT: &str = "Say something now, in one or two sentences…";

/// The result of “Can you hear me?”. `None`: nothing was heard in time.
pub fn hearing_check_result(result: Option<&HearingCheckResult>) -> String {
    match result {
        Some(HearingCheckResult::Heard(words)) => format!("I heard: “{words}”"),
        Some(HearingCheckResult::NoConsent) => {
            "I drop what you say, because you haven't agreed to be transcribed. Press **Transcribe \
             me** first."
                .to_owned()
        }
        Some(HearingCheckResult::NotInCall) => {
            "You're not in my voice channel. Join it, then press the button again.".to_owned()
        }
        Some(HearingCheckResult::NoSpeech) => {
            "I heard something, but no words. Speak up, or choose another microphone.".to_owned()
        }
        None => "I didn't hear anything from you. Check whether you're muted and which microphone \
             Discord is using, then press the button again."
            .to_owned(),
    }
}

/// What the bot answers in a session.
pub fn answer_mode(mode: AnswerMode) -> &'static str {
    match mode {
        AnswerMode::Auto => {
            "I answer any question from someone alone with me, otherwise when called by name"
        }
        AnswerMode::Always => "I answer every question",
        AnswerMode::Name => "I answer when called by name",
        AnswerMode::Command => "I only answer commands",
        AnswerMode::Never => "I don't answer",
    }
}

/// Why a session ended. `longest` is the limit on its duration.
pub fn ended(reason: SessionEndReason, longest: Duration) -> String {
    match reason {
        SessionEndReason::Requested => "**The session is over.**".to_owned(),
        SessionEndReason::Alone => {
            "**The session is over**: nobody was left in the call.".to_owned()
        }
        SessionEndReason::TooLong => format!(
            "**The session is over**: it reached the limit of {}. Use `/join` to start another.",
            format_duration(longest)
        ),
        SessionEndReason::RemovedFromCall => {
            "**The session is over**: I was removed from the call, or its channel is gone."
                .to_owned()
        }
        SessionEndReason::MovedToStage => {
            "**The session is over**: I was moved to a stage, and I don't listen there. Use \
             `/join` to start another in a regular voice channel."
                .to_owned()
        }
        SessionEndReason::ChannelNotVisible => {
            "**The session is over**: I was moved to a channel that I can't see. Give me *View \
             Channel* there, then run `/join` again."
                .to_owned()
        }
        SessionEndReason::RecordingNoticeFailed => {
            "**The session is over**: I couldn't tell the people in the call that I was listening, \
             so I left. Use `/join` to try again."
                .to_owned()
        }
        SessionEndReason::Refused(code) => {
            format!("**The session is over.** {}", voice_server_rejected(code))
        }
        SessionEndReason::Unreachable => {
            "**The session is over**: I couldn't get back into the call for five minutes. Use \
             `/join` to try again."
                .to_owned()
        }
        SessionEndReason::ProcessDied => {
            "**The session is over**: I was interrupted for too long. What was said until then is \
             here."
                .to_owned()
        }
    }
}

/// The transcript of a running session is empty.
pub const NO_LINES_YET: &str = "Nothing has been written down so far.";

/// The transcript of a session that has ended is empty.
pub const NO_LINES: &str = "Nothing has been written down in it.";

/// The bot lacks the permission to attach files.
pub const CANNOT_ATTACH_FILES: &str =
    "-# The files are missing: I'm not allowed to attach files in this channel.";

/// The private answer to `/leave`.
pub const SESSION_LEFT: &str = "I've left. You'll find the end of the session in its channel.";

/// The session's answer mode keeps the transcript from the model.
pub const SUMMARY_DISABLED: &str = "This session sends nothing to the model, so there's no \
     summary. Use `/join mode` to change that.";

/// How long a session has lasted and what its transcription cost so far.
pub fn so_far(cost: &SessionCost, prices: &Prices) -> String {
    let mut line = format!("**Voice session**, {}", format_duration(cost.length));
    if *prices != Prices::default() && cost.micros > 0 {
        let cost = format_money(cost.micros);
        let _ = write!(line, " · about {cost} for transcribing it");
    }
    line
}

/// The summary, or why there is none.
pub fn summary_or_reason(result: Result<&SessionSummary, &SummaryError>) -> String {
    match result {
        Ok(summary) => super::transcript_file::summary(summary),
        Err(SummaryError::NotAllowed(decision)) => {
            let why = daily_limit_message(*decision).unwrap_or_default();
            format!("There's no summary. {why}")
        }
        Err(SummaryError::Chat(_) | SummaryError::Store(_)) => SUMMARY_FAILED.to_owned(),
        Err(SummaryError::Withdrawn) => SUMMARY_WITHDRAWN.to_owned(),
    }
}

/// The model failed to write a summary.
pub const SUMMARY_FAILED: &str =
    "There's no summary: the model isn't answering right now. The transcript is complete.";

/// A speaker withdrew consent after the summary was made.
pub const SUMMARY_WITHDRAWN: &str = "There's no summary: someone just withdrew what they said.";

/// How well each speaker was heard, as a table in a code block.
pub fn session_report_message(report: &ReceptionReport) -> String {
    format!(
        "```\n{}\n```",
        super::transcript_file::format_session_report(report).trim_end()
    )
}
