//! What the bot says about voice sessions.

use std::fmt::Write as _;
use std::time::Duration;

use super::bot::{DataHandling, format_money};
use super::{daily_limit_message, length};
use crate::flow::consent::ConsentRule;
use crate::flow::session::actor::{HearingCheckResult, SessionCost};
use crate::flow::session::report::ReceptionReport;
use crate::flow::session::summary::{SessionSummary, SummaryError};
use crate::flow::session::transcript_view::CannotHearReason;
use crate::flow::session::{AnswerMode, SessionEndReason};
use crate::flow::usage_rules::AdmissionDecision;
use crate::flow::usage_rules::Prices;

/// The label of a button.
pub const AGREE: &str = "Transcribe me";

/// The label of a button.
pub const DECLINE: &str = "Don't";

/// The label of a button.
pub const CHECK_BUTTON: &str = "Can you hear me?";

/// Somebody whose name is not known.
pub const SOMEBODY: &str = "Somebody";

/// Nobody can be written down at the moment.
pub const TRANSCRIPTION_FAILING: &str = "-# I hear you, but writing it down fails at the moment. I keep \
     trying, and mark what is missing.";

/// Some lines are not shown.
pub const LINES_WITHHELD: &str = "-# Some lines are not shown here: a filter of this server or of \
     Discord did not let them through. They are in the transcript at the end.";

/// The process ends, and another one goes on.
pub const RESTART: &str = "-# I am being restarted. If you are still here in two minutes, I come \
     back and go on.";

/// There is no session in this server.
pub const NO_SESSION: &str = "I am in no voice channel here. `/join` brings me into yours.";

/// Whoever asks is in no voice channel.
pub const NOT_IN_VOICE: &str = "Join a voice channel first, or name one: `/join channel`.";

/// A stage channel.
pub const STAGE_UNSUPPORTED: &str = "I can't listen on a stage: Discord encrypts it differently, and an \
     audience has not agreed to be written down. Use an ordinary voice channel.";

/// The bot may not see or connect to the channel.
pub const MISSING_CONNECT_PERMISSION: &str = "I may not connect to this voice channel. Ask those who manage \
     the server to give me *View Channel* and *Connect* there.";

/// The bot may not write where the transcript would go.
pub const MISSING_SEND_PERMISSION: &str = "I may not write in this channel, and the transcript goes here. \
     Run `/join` in another one, or have me given *Send Messages*.";

/// The bot may not write in the thread where the transcript would go.
pub const MISSING_THREAD_SEND_PERMISSION: &str = "I may not write in this thread, and the transcript goes \
     here. Run `/join` in a channel, or have me given *Send Messages in Threads*.";

/// The thread where the transcript would go is locked.
pub const THREAD_LOCKED: &str = "This thread is locked, and the transcript goes here. Run `/join` \
     in another channel, or have it unlocked.";

/// The bot is timed out in the server.
pub const TIMED_OUT: &str = "I am timed out in this server: I may neither speak nor join a call. \
     Ask those who manage the server to take that back, then run `/join` again.";

/// The notice could not be posted, so nobody was listened to.
pub const NOTICE_NOT_POSTED: &str = "I have not listened and left again: my notice to everybody in the \
     call could not be posted here. Run `/join` in a channel where I can write.";

/// The channel is full.
pub const CHANNEL_FULL: &str =
    "The voice channel is full. Make room for one more, or raise its limit.";

/// Discord did not let the bot in and does not say why.
pub const JOIN_REJECTED: &str = "Discord did not let me into the voice channel. See that I may \
     connect to it and that there is room, then run `/join` again.";

/// There is no connection to the gateway.
pub const NO_GATEWAY: &str = "I am not connected to Discord well enough at the moment. Run `/join` \
     again in a minute.";

/// The voice server does not answer.
pub const NO_VOICE_SERVER: &str = "Discord's voice server does not answer me. Run `/join` again in \
     a minute; whoever runs me finds the reason in my log.";

/// Discord closed the call for us.
pub fn voice_server_rejected(code: u16) -> String {
    match code {
        4_017 => "Discord wants end-to-end encryption for this call that I could not agree on. \
                  Whoever runs me should update me."
            .to_owned(),
        code => format!(
            "Discord closed the call for me (code {code}). Run `/join` again in some minutes."
        ),
    }
}

/// Another one has begun already.
pub fn already_in_session(channel: Option<u64>) -> String {
    match channel {
        Some(channel) => format!(
            "I am already in <#{channel}>, and can be in one voice channel at a time. End that \
             with `/leave` first."
        ),
        None => "I am just coming. One moment.".to_owned(),
    }
}

/// The last session has ended and is not over.
pub const STILL_ENDING: &str = "I am still writing the end of the last session. Run `/join` again \
     once it is here.";

/// Told to whoever asked for a session.
pub fn session_started(voice: u64) -> String {
    format!("I am in <#{voice}>.")
}

/// Told in the channel when a session begins.
pub fn session_notice(
    asked_by: &str,
    voice: u64,
    consent: ConsentRule,
    answers: AnswerMode,
    practice: &DataHandling,
) -> String {
    let who = rule(consent);
    let model = match answers {
        AnswerMode::Never => String::new(),
        _ => format!(" Questions and the summary go to {}.", practice.chat_model),
    };
    format!(
        "**{asked_by} asked me to listen in <#{voice}>.** I write down who says what, here, \
         {}.\n{who} You can change your mind at any time, and I remember it for this server.\n-# \
         Voices go to {}, and I keep no sound of them.{model} I keep the words for {} days, encrypted. \
         `/leave` ends this, `/privacy` tells more.",
        match answers {
            AnswerMode::Auto => "and answer what you ask me by name, or anything if you are alone",
            AnswerMode::Always => "and answer what is asked",
            AnswerMode::Name => "and answer what you ask me by name",
            AnswerMode::Command => "and answer only commands",
            AnswerMode::Never => "and answer nothing",
        },
        practice.transcribers,
        practice.retention_days
    )
}

/// Who is written down.
fn rule(consent: ConsentRule) -> &'static str {
    match consent {
        ConsentRule::Ask => {
            "Nobody is written down before pressing **Transcribe me**; what others say is dropped \
             unheard."
        }
        ConsentRule::Notice => {
            "Everybody in the call is written down, but whoever presses **Don't**: what they say \
             is dropped unheard."
        }
    }
}

/// The session has been taken up again.
pub const SESSION_RESUMED: &str = "-# I am back, and go on.";

/// Told in the channel when somebody moves the bot to another voice channel.
pub fn moved(voice: u64, consent: ConsentRule) -> String {
    format!(
        "**I was moved to <#{voice}>, and go on listening there.**\n{} `/leave` ends this.",
        rule(consent)
    )
}

/// A moderator has deafened the bot, or it has no right to speak and hears nothing.
pub fn cannot_hear(why: CannotHearReason) -> &'static str {
    match why {
        CannotHearReason::Deafened => {
            "I am deafened in this call and hear nobody; what is said now is missing from the \
             transcript. A moderator can undeafen me: right-click me in the call, *Server Deafen*."
        }
        CannotHearReason::Suppressed => {
            "I am suppressed in this call and may hear nobody; what is said now may be missing from \
             the transcript. A moderator can give me *Speak* in this channel."
        }
    }
}

/// The bot is no longer deafened.
pub const CAN_HEAR_AGAIN: &str = "-# I hear you again.";

/// A cap of the day is reached.
pub fn member_limit_message(person: u64, reached: AdmissionDecision) -> String {
    let why = daily_limit_message(reached).unwrap_or_default();
    format!("-# What <@{person}> says is no longer written down. {why}")
}

/// Somebody agreed.
pub const AGREED: &str = "Thank you. From now on I write down what you say in calls of this \
     server. Press **Don't** to end that at once.";

/// Somebody declined.
pub const DECLINED: &str = "Understood. What you say is dropped unheard, in every call of this \
     server, and what you said in this one goes into no file and no summary. Press **Transcribe me** \
     if you change your mind.";

/// The same, and it could not be written down.
pub const DECLINED_UNWRITTEN: &str = "Understood. From now on what you say is dropped unheard, in \
     every call of this server. I could not write that down, and go on trying: if I am restarted \
     before, I will have forgotten it. Press **Don't** once more later to be sure.";

/// How "can you hear me?" begins.
pub const HEARING_CHECK_PROMPT: &str = "Say something now, in one or two sentences…";

/// How "can you hear me?" ends.
pub fn hearing_check_result(checked: Option<&HearingCheckResult>) -> String {
    match checked {
        Some(HearingCheckResult::Heard(words)) => format!("I heard: “{words}”"),
        Some(HearingCheckResult::NoConsent) => {
            "I drop what you say, since you have not agreed to be written down. Press **Transcribe \
             me** first."
                .to_owned()
        }
        Some(HearingCheckResult::NotInCall) => {
            "You are not in my voice channel. Join it, then press the \
             button again."
                .to_owned()
        }
        Some(HearingCheckResult::NoSpeech) => {
            "I heard something, but no words. Speak up, or choose another microphone.".to_owned()
        }
        None => {
            "I heard nothing from you. Look whether you are muted and which microphone Discord \
             uses, then press the button again."
                .to_owned()
        }
    }
}

/// What is answered in a session.
pub fn answer_mode(answers: AnswerMode) -> &'static str {
    match answers {
        AnswerMode::Auto => "I answer questions of somebody alone, otherwise when called by name",
        AnswerMode::Always => "I answer every question",
        AnswerMode::Name => "I answer when called by name",
        AnswerMode::Command => "I answer only commands",
        AnswerMode::Never => "I answer nothing",
    }
}

/// Why a session ended.
pub fn ended(ending: SessionEndReason, longest: Duration) -> String {
    match ending {
        SessionEndReason::Requested => "**The session is over.**".to_owned(),
        SessionEndReason::Alone => {
            "**The session is over**: nobody was left in the call.".to_owned()
        }
        SessionEndReason::TooLong => format!(
            "**The session is over**: it has lasted {}, as long as one may. `/join` begins another.",
            length(longest)
        ),
        SessionEndReason::RemovedFromCall => {
            "**The session is over**: I was taken out of the call, or its channel is gone."
                .to_owned()
        }
        SessionEndReason::MovedToStage => {
            "**The session is over**: I was moved onto a stage, and don't listen there. `/join` \
             begins another in an ordinary voice channel."
                .to_owned()
        }
        SessionEndReason::ChannelNotVisible => {
            "**The session is over**: I was moved into a channel that I can't look into. Have me \
             given *View Channel* there, then run `/join` again."
                .to_owned()
        }
        SessionEndReason::RecordingNoticeFailed => {
            "**The session is over**: I could not tell the people in the call that \
             I listen, so I left. `/join` tries again."
                .to_owned()
        }
        SessionEndReason::Refused(code) => {
            format!("**The session is over.** {}", voice_server_rejected(code))
        }
        SessionEndReason::Unreachable => {
            "**The session is over**: I could not get back into the call for \
             five minutes. `/join` tries again."
                .to_owned()
        }
        SessionEndReason::ProcessDied => "**The session is over**: I was interrupted for \
             too long. What was said until then is here."
            .to_owned(),
    }
}

/// There are no lines yet.
pub const NO_LINES_YET: &str = "Nothing has been written down so far.";

/// There are no lines, and there will be none.
pub const NO_LINES: &str = "Nothing has been written down in it.";

/// Files can't be attached.
pub const CANNOT_ATTACH_FILES: &str =
    "-# The files are missing: I may not attach files in this channel.";

/// Told to whoever ended a session.
pub const SESSION_LEFT: &str = "I have left. The end of the session is in its channel.";

/// The session's words do not go to the model.
pub const SUMMARY_DISABLED: &str = "This session is set to give nothing to the model, so there is \
     no summary. `/join mode` chooses otherwise.";

/// How long a session has gone on, and what it has cost.
pub fn so_far(cost: &SessionCost, prices: &Prices) -> String {
    let mut line = format!("**Voice session**, {}", length(cost.length));
    if *prices != Prices::default() && cost.micros > 0 {
        let cost = format_money(cost.micros);
        let _ = write!(line, " · about {cost} for writing it down");
    }
    line
}

/// What it was about, or why nobody says it.
pub fn summary_or_reason(made: Result<&SessionSummary, &SummaryError>) -> String {
    match made {
        Ok(summary) => super::transcript_file::summary(summary),
        Err(SummaryError::NotAllowed(reached)) => {
            let why = daily_limit_message(*reached).unwrap_or_default();
            format!("There is no summary. {why}")
        }
        Err(SummaryError::Chat(_) | SummaryError::Store(_)) => SUMMARY_FAILED.to_owned(),
        Err(SummaryError::Withdrawn) => SUMMARY_WITHDRAWN.to_owned(),
    }
}

/// The model made no summary.
pub const SUMMARY_FAILED: &str = "There is no summary: the model does not answer at the moment. The \
     transcript is all there.";

/// Somebody took back what they said when the summary was made already.
pub const SUMMARY_WITHDRAWN: &str = "There is no summary: somebody has just taken back what they \
     said.";

/// How everybody was heard, in letters of the same width.
pub fn session_report_message(report: &ReceptionReport) -> String {
    format!(
        "```\n{}\n```",
        super::transcript_file::format_session_report(report).trim_end()
    )
}
