//! Why a recording was not transcribed, for operators and users of the command line.

use super::provider_errors::{local_engine_error, provider_unavailable, retry_when};
use super::{audio_error, format_duration, sanitize_fragment};
use crate::speech::{RefusedParameter, SpeechError};
use net::{NetError, RedactedText};

/// Why no speech provider transcribed the recording, and what to do about it.
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
            format_duration(*limit)
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
            fixed_by_fetch,
        } => local_engine_error("Local speech recognition", reason, *fixed_by_fetch),
    }
}

/// A parameter that AssemblyAI rejects, and the setting that it comes from.
fn provider_refusal(what: RefusedParameter, reason: &RedactedText) -> String {
    let reason = match reason.expose_to_user() {
        "" => "no reason given".to_owned(),
        reason => sanitize_fragment(reason),
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

/// The same in a few words, for the line that says which provider takes over.
pub(super) fn speech_error_reason(error: &SpeechError) -> String {
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
        SpeechError::TimedOut(limit) => {
            format!("No transcript within {}.", format_duration(*limit))
        }
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
