//! A question comes, typed or spoken, and its answer goes as it is made.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::connection_slots::ConnectionSlot;
use super::page::{PageState, refusal_response};
use super::page_event::{PageEvent, PageEventQueue, finish_name};
use super::reply::PageReply;
use super::uploads::{Upload, Uploads};
use crate::chat::{ChatRole, ChatTurn};
use crate::flow::admission::{AllowedEngines, CallCost, Payer, Permit, PermitRequest};
use crate::flow::paid_upload::UPLOAD_SLICE;
use crate::flow::{PipelineError, Reply, user_turn};
use crate::store::{SessionId, UsageAccount};
use crate::ui_text;
use audio::{AudioError, Recording, Spool};
use net::ErrorCause;

/// The most of a form that is not its recording, in bytes.
pub(super) const MAX_FORM_OVERHEAD_BYTES: usize = MAX_TURNS_BYTES + MAX_QUESTION_BYTES + 16 * 1024;

/// The most turns of a conversation that are taken along.
const MAX_TURNS: usize = 40;

/// The most bytes of these turns.
const MAX_TURNS_BYTES: usize = 256 * 1024;

/// The longest typed question, in bytes.
const MAX_QUESTION_BYTES: usize = 32 * 1024;

/// The longest name of a recording that is told again, in characters.
const MAX_FILE_NAME_CHARS: usize = 80;

/// The longest time in which nothing comes of a question.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest time that all of a question may take to come.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// How long an upload may take to end once somebody else is given its place.
const EVICTION_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a page is told that somebody is still at work.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// What somebody asks.
struct AskForm {
    turns: Vec<ChatTurn>,
    typed: Option<String>,
    spoken: Option<FormRecording>,
}

/// What somebody says.
struct FormRecording {
    /// What people call it, if it is a file of somebody's.
    file_name: Option<String>,
    recording: Recording,
    /// It is still being made.
    upload: Option<Upload>,
}

/// A turn as the page sends it.
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

/// Why a form is no question. Nothing of what stands in it is kept.
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
    #[error("too long a text")]
    TextTooLong,
    #[error("nothing is asked")]
    EmptyQuestion,
    #[error("it comes too slowly")]
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

pub(super) async fn ask(
    State(page): State<PageState>,
    seat: Option<Extension<ConnectionSlot>>,
    form: Result<Multipart, MultipartRejection>,
) -> Response {
    let Some(place) = acquire_question_slot(&page, seat.as_deref()).await else {
        return refusal_response(
            StatusCode::SERVICE_UNAVAILABLE,
            ui_text::web::TOO_MANY_QUESTIONS,
        );
    };
    let question = match form {
        Ok(form) => {
            let reading = read_form(form, page.0.pipeline.limits.bytes, &page.0.uploads);
            let question = timeout(UPLOAD_TIMEOUT, reading).await;
            question.unwrap_or(Err(AskError::TimedOut))
        }
        Err(error) => Err(error.into()),
    };
    match question {
        Ok(question) => stream_answer(page, question, place),
        Err(error) => ask_error_response(&error),
    }
}

/// A place among the questions that are worked on. Where all are taken, an upload that has gone on
/// for long ends for it: somebody slow must not keep everybody from asking.
async fn acquire_question_slot(
    page: &PageState,
    seat: Option<&ConnectionSlot>,
) -> Option<OwnedSemaphorePermit> {
    let places = Arc::clone(&page.0.question_slots);
    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
        return Some(place);
    }
    if !seat.is_some_and(ConnectionSlot::evict_slow_upload) {
        return None;
    }
    let freed = timeout(EVICTION_TIMEOUT, places.acquire_owned()).await;
    freed.ok()?.ok()
}

/// Reads the form: `turns`, then `text`, `recording`, or both; `coming` instead of a recording that
/// is still being made.
async fn read_form(
    mut form: Multipart,
    largest: u64,
    all: &Arc<Uploads>,
) -> Result<AskForm, AskError> {
    let mut question = AskForm {
        turns: Vec::new(),
        typed: None,
        spoken: None,
    };
    while let Some(field) = with_stall_timeout(form.next_field()).await? {
        match field.name() {
            Some("turns") => {
                question.turns = parse_turns(&read_text_field(field, MAX_TURNS_BYTES).await?)?
            }
            Some("text") => {
                question.typed = Some(read_text_field(field, MAX_QUESTION_BYTES).await?)
            }
            Some("recording") => {
                question.spoken = Some(read_recording_field(field, largest).await?)
            }
            Some("coming") => {
                let begun = all.begin(largest)?;
                question.spoken = Some(FormRecording {
                    file_name: None,
                    recording: begun.recording.clone(),
                    upload: Some(begun),
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

async fn read_text_field(mut field: Field<'_>, most: usize) -> Result<String, AskError> {
    let mut text = Vec::new();
    while let Some(piece) = with_stall_timeout(field.chunk()).await? {
        if text.len() + piece.len() > most {
            return Err(AskError::TextTooLong);
        }
        text.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The last turns of the conversation, oldest first.
fn parse_turns(json: &str) -> Result<Vec<ChatTurn>, serde_json::Error> {
    let said: Vec<FormTurn> = serde_json::from_str(json)?;
    let surplus = said.len().saturating_sub(MAX_TURNS);
    let turn = |it: FormTurn| ChatTurn {
        role: match it.role {
            FormRole::User => ChatRole::User,
            FormRole::Assistant => ChatRole::Assistant,
        },
        speaker_name: None,
        text: it.text,
    };
    Ok(said.into_iter().skip(surplus).map(turn).collect())
}

async fn read_recording_field(
    mut field: Field<'_>,
    largest: u64,
) -> Result<FormRecording, AskError> {
    let name = field.file_name().unwrap_or_default().to_owned();
    // What the page has recorded has a name that nobody gave it.
    let name = (!name.is_empty() && !name.starts_with("recording."))
        .then(|| ::net::shorten(&name, MAX_FILE_NAME_CHARS));
    let mut spool = Spool::new(largest)?;
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

/// The answer, line by line. Who goes away ends the work.
fn stream_answer(page: PageState, question: AskForm, place: OwnedSemaphorePermit) -> Response {
    let outbox = PageEventQueue::default();
    let telling = outbox.clone();
    let coming = question.spoken.as_ref().and_then(|it| it.upload.as_ref());
    if let Some(Upload { id, .. }) = coming {
        outbox.push(PageEvent::Coming { id: id.clone() });
    }
    let work = tokio::spawn(async move {
        let _place = place;
        let last = process_question(&page, question, &telling).await;
        telling.push(last);
    });
    let begun = Some((outbox, AbortOnDropHandle::new(work)));
    let lines = stream::unfold(begun, async |state| {
        let (outbox, work) = state?;
        let event = match timeout(KEEP_ALIVE_INTERVAL, outbox.next()).await {
            Ok(event) => event,
            // Only a panic ends the work without a last word.
            Err(_) if work.is_finished() => PageEvent::Failed {
                text: ui_text::web::CONNECTION_LOST.to_owned(),
                stage: ANSWERING_STAGE,
            },
            Err(_) => PageEvent::Alive,
        };
        let next = (!event.is_last()).then_some((outbox, work));
        Some((Ok::<_, Infallible>(event.to_json_line()), next))
    });
    let head = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (head, Body::from_stream(lines)).into_response()
}

const HEARING_STAGE: &str = "hearing";
const ANSWERING_STAGE: &str = "answering";

/// Works on a question to its last word.
async fn process_question(
    page: &PageState,
    question: AskForm,
    outbox: &PageEventQueue,
) -> PageEvent {
    let pipeline = &page.0.pipeline;
    let reply: Arc<dyn Reply> = Arc::new(PageReply::new(outbox.clone()));
    let AskForm {
        mut turns,
        typed,
        spoken,
    } = question;
    let name = spoken.as_ref().and_then(|it| it.file_name.clone());
    let failed = |stage: &'static str, failure: &PipelineError| {
        tracing::warn!(
            error = failure as &dyn std::error::Error,
            stage,
            "no answer"
        );
        PageEvent::Failed {
            text: ui_text::failure(name.as_deref(), failure),
            stage,
        }
    };
    let turn = match spoken {
        None => ChatTurn {
            role: ChatRole::User,
            speaker_name: None,
            text: typed.unwrap_or_default(),
        },
        Some(FormRecording {
            recording,
            upload: coming,
            ..
        }) => {
            let begun = Instant::now();
            let heard = async {
                let hints = &pipeline.hints;
                let uploads = recording.is_growing() && pipeline.supports_upload();
                let early = if uploads {
                    acquire_permit(page, CallCost::Speech(UPLOAD_SLICE)).await
                } else {
                    None
                };
                let mut decoded = match early {
                    Some(permit) => {
                        let early = (permit, (ANONYMOUS_PAYER, NO_SESSION_ACCOUNT));
                        let decoding = pipeline.decode_with_upload(recording, early, hints, &reply);
                        decoding.await?
                    }
                    None => pipeline.decode(recording, hints, &reply).await?,
                };
                if let Some(heard) = pipeline.finish_upload(&mut decoded, &reply).await? {
                    return Ok(Some(heard));
                }
                let Some(permit) = acquire_permit(page, CallCost::Speech(decoded.duration())).await
                else {
                    return Ok(None);
                };
                let heard = pipeline.transcribe(&permit, decoded, hints, &reply).await?;
                Ok::<_, PipelineError>(Some(heard))
            };
            match heard.await {
                Err(_) if coming.as_ref().is_some_and(Upload::is_incomplete) => {
                    return PageEvent::Failed {
                        text: ui_text::web::CONNECTION_LOST.to_owned(),
                        stage: HEARING_STAGE,
                    };
                }
                Err(failure) => return failed(HEARING_STAGE, &failure),
                Ok(None) => return daily_limit_event(HEARING_STAGE),
                Ok(Some(heard)) => {
                    // While it was being made nobody waited.
                    let whole = coming.and_then(|it| it.completed_at());
                    let text = ui_text::strip_control_chars(heard.transcript.text.trim());
                    let turn = user_turn(&text, typed.as_deref());
                    outbox.push(PageEvent::Heard {
                        text,
                        by: heard.transcript.provider,
                        took_seconds: to_rounded_seconds(whole.unwrap_or(begun).elapsed()),
                        duration_seconds: to_rounded_seconds(heard.duration),
                    });
                    turn
                }
            }
        }
    };
    turns.push(turn);
    let begun = Instant::now();
    let cost = pipeline
        .chat
        .max_cost(&pipeline.conversation(turns.clone()));
    let Some(permit) = acquire_permit(page, cost).await else {
        return daily_limit_event(ANSWERING_STAGE);
    };
    match pipeline.answer(&permit, turns, &reply).await {
        Err(failure) => failed(ANSWERING_STAGE, &failure),
        Ok(answered) => {
            let card = pipeline.chat.card();
            PageEvent::Answered {
                text: ui_text::strip_control_chars(answered.text.0.trim()),
                by: ui_text::model_and_host(&card.model, &card.host),
                took_seconds: to_rounded_seconds(begun.elapsed()),
                finish: finish_name(answered.end.reason),
                notice: card.notice,
            }
        }
    }
}

/// Nobody in particular.
const ANONYMOUS_PAYER: Payer = Payer {
    guild: None,
    author: 0,
};

/// There is no ledger in which it would have a place.
const NO_SESSION_ACCOUNT: UsageAccount = UsageAccount::Session(SessionId(0));

/// The right to one paid call, if the caps for everybody leave room for it.
async fn acquire_permit(page: &PageState, cost: CallCost) -> Option<Permit> {
    let ask = PermitRequest {
        payer: ANONYMOUS_PAYER,
        account: NO_SESSION_ACCOUNT,
        cost,
        reservation: None,
        allowed_engines: AllowedEngines::All,
    };
    page.0.admission.admit(&ask).await.ok()?.ok()
}

fn daily_limit_event(stage: &'static str) -> PageEvent {
    tracing::info!(stage, "a cap of the day is reached");
    PageEvent::Failed {
        text: ui_text::web::DAILY_LIMIT_REACHED.to_owned(),
        stage,
    }
}

/// In seconds, to the millisecond.
fn to_rounded_seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}
