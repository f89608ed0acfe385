//! The form in which the page sends a question, and why one is rejected.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tokio::time::timeout;

use super::page::refusal_response;
use super::uploads::{Upload, Uploads};
use crate::chat::{ChatRole, ChatTurn};
use crate::ui_text;
use audio::{AudioError, Recording, Spool};
use net::ErrorCause;

/// The limit on a form without its recording, in bytes.
pub(super) const MAX_FORM_OVERHEAD_BYTES: usize = MAX_TURNS_BYTES + MAX_QUESTION_BYTES + 16 * 1024;

/// The limit on earlier turns of the conversation.
const MAX_TURNS: usize = 40;

/// The limit on the earlier turns, in bytes.
const MAX_TURNS_BYTES: usize = 256 * 1024;

/// The limit on a typed question, in bytes.
const MAX_QUESTION_BYTES: usize = 32 * 1024;

/// The limit on a file name that is shown again, in characters.
const MAX_FILE_NAME_CHARS: usize = 80;

/// An upload fails if nothing arrives for this long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// A question from the page.
pub(super) struct AskForm {
    pub(super) turns: Vec<ChatTurn>,
    pub(super) typed: Option<String>,
    pub(super) spoken: Option<FormRecording>,
}

/// The recording of a question.
pub(super) struct FormRecording {
    /// The name of the file, if the user chose one.
    pub(super) file_name: Option<String>,
    pub(super) recording: Recording,
    /// Set while the page is still recording.
    pub(super) upload: Option<Upload>,
}

/// A turn of the conversation, as the page sends it.
#[derive(Deserialize)]
struct FormTurn {
    role: FormRole,
    text: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FormRole {
    User,
    Assistant,
}

/// Why a form was rejected. Holds none of its content.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("form: {0}")]
    Multipart(StatusCode),
    #[error("no form")]
    NotMultipart,
    #[error("conversation: {0}")]
    InvalidTurns(ErrorCause),
    #[error("recording: {0}")]
    Recording(#[from] AudioError),
    #[error("the text is too long")]
    TextTooLong,
    #[error("the question is empty")]
    EmptyQuestion,
    #[error("the upload is too slow")]
    TimedOut,
}

impl From<MultipartError> for AskError {
    fn from(error: MultipartError) -> Self {
        Self::Multipart(error.status())
    }
}

impl From<MultipartRejection> for AskError {
    fn from(_: MultipartRejection) -> Self {
        Self::NotMultipart
    }
}

impl From<serde_json::Error> for AskError {
    fn from(error: serde_json::Error) -> Self {
        Self::InvalidTurns(ErrorCause::from_error(&error))
    }
}

/// Reads the form: `turns`, then `text`, `recording`, or both; `coming` instead of a recording that
/// is still being made.
pub(super) async fn read_form(
    mut form: Multipart,
    max_recording_bytes: u64,
    uploads: &Arc<Uploads>,
) -> Result<AskForm, AskError> {
    let mut question = AskForm {
        turns: Vec::new(),
        typed: None,
        spoken: None,
    };
    while let Some(field) = with_stall_timeout(form.next_field()).await? {
        match field.name() {
            Some("turns") => {
                question.turns = parse_turns(&read_text_field(field, MAX_TURNS_BYTES).await?)?;
            }
            Some("text") => {
                question.typed = Some(read_text_field(field, MAX_QUESTION_BYTES).await?);
            }
            Some("recording") => {
                question.spoken = Some(read_recording_field(field, max_recording_bytes).await?);
            }
            Some("coming") => {
                let upload = uploads.begin(max_recording_bytes)?;
                question.spoken = Some(FormRecording {
                    file_name: None,
                    recording: upload.recording.clone(),
                    upload: Some(upload),
                });
            }
            _ => {}
        }
    }
    question.typed = question.typed.filter(|text| !text.trim().is_empty());
    if question.typed.is_none() && question.spoken.is_none() {
        return Err(AskError::EmptyQuestion);
    }
    Ok(question)
}

async fn with_stall_timeout<T>(
    part: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, AskError> {
    match timeout(STALL_TIMEOUT, part).await {
        Ok(part) => Ok(part?),
        Err(_) => Err(AskError::TimedOut),
    }
}

async fn read_text_field(mut field: Field<'_>, max_bytes: usize) -> Result<String, AskError> {
    let mut text = Vec::new();
    while let Some(piece) = with_stall_timeout(field.chunk()).await? {
        if text.len() + piece.len() > max_bytes {
            return Err(AskError::TextTooLong);
        }
        text.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The last turns of the conversation, oldest first.
fn parse_turns(json: &str) -> Result<Vec<ChatTurn>, serde_json::Error> {
    let turns: Vec<FormTurn> = serde_json::from_str(json)?;
    let surplus = turns.len().saturating_sub(MAX_TURNS);
    let turn = |it: FormTurn| ChatTurn {
        role: match it.role {
            FormRole::User => ChatRole::User,
            FormRole::Assistant => ChatRole::Assistant,
        },
        speaker_name: None,
        text: it.text,
    };
    Ok(turns.into_iter().skip(surplus).map(turn).collect())
}

async fn read_recording_field(
    mut field: Field<'_>,
    max_bytes: u64,
) -> Result<FormRecording, AskError> {
    let name = field.file_name().unwrap_or_default().to_owned();
    // The page names its own recordings `recording.…`; such a name is not shown.
    let name = (!name.is_empty() && !name.starts_with("recording."))
        .then(|| ::net::shorten(&name, MAX_FILE_NAME_CHARS));
    let mut spool = Spool::new(max_bytes)?;
    while let Some(piece) = with_stall_timeout(field.chunk()).await? {
        spool.write(&piece)?;
    }
    let recording = spool.finish(name.as_deref().unwrap_or("recording"))?;
    Ok(FormRecording {
        file_name: name,
        recording,
        upload: None,
    })
}

pub(super) fn ask_error_response(error: &AskError) -> Response {
    tracing::info!(%error, "a question can't be used");
    let status = match error {
        AskError::Multipart(status) => *status,
        AskError::NotMultipart => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        AskError::Recording(AudioError::TooManyBytes { .. }) | AskError::TextTooLong => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        AskError::Recording(_) => StatusCode::INTERNAL_SERVER_ERROR,
        AskError::TimedOut => StatusCode::REQUEST_TIMEOUT,
        AskError::InvalidTurns(_) | AskError::EmptyQuestion => StatusCode::BAD_REQUEST,
    };
    let sentence = match error {
        AskError::Recording(error) => ui_text::audio_error("The recording", error),
        AskError::TextTooLong => ui_text::web::TEXT_TOO_LONG.to_owned(),
        AskError::EmptyQuestion => ui_text::web::EMPTY_QUESTION.to_owned(),
        AskError::Multipart(StatusCode::PAYLOAD_TOO_LARGE) => {
            ui_text::web::RECORDING_TOO_LARGE.to_owned()
        }
        AskError::TimedOut | AskError::Multipart(_) => ui_text::web::CONNECTION_LOST.to_owned(),
        AskError::NotMultipart | AskError::InvalidTurns(_) => {
            ui_text::web::MALFORMED_REQUEST.to_owned()
        }
    };
    refusal_response(status, &sentence)
}
