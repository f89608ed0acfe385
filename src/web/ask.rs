//! Answers a question from the page: runs the pipeline and streams its events.
//!
//! [`ask_form`](super::ask_form) reads the question; [`page_event`](super::page_event) has the
//! events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::extract::multipart::{Multipart, MultipartRejection};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::ask_form::{AskError, AskForm, FormRecording, ask_error_response, read_form};
use super::connection_slots::ConnectionSlot;
use super::page::{PageState, refusal_response};
use super::page_event::{PageEvent, PageEventQueue, finish_name};
use super::reply::PageReply;
use super::uploads::Upload;
use crate::chat::{ChatRole, ChatTurn};
use crate::flow::admission::{AllowedEngines, CallCost, Payer, Permit, PermitRequest};
use crate::flow::paid_upload::UPLOAD_SLICE;
use crate::flow::{PipelineError, Reply, user_turn};
use crate::store::{SessionId, UsageAccount};
use crate::ui_text;

/// The time limit of a whole upload.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// How long an evicted upload may take to end.
const EVICTION_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a keep-alive event is sent.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(5);

pub(super) async fn ask(
    State(page): State<PageState>,
    connection: Option<Extension<ConnectionSlot>>,
    form: Result<Multipart, MultipartRejection>,
) -> Response {
    let Some(slot) = acquire_question_slot(&page, connection.as_deref()).await else {
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
        Ok(question) => stream_answer(page, question, slot),
        Err(error) => ask_error_response(&error),
    }
}

/// Takes one of the slots for questions. If all are taken, a slow upload is evicted, so that slow
/// clients can't keep others from asking.
async fn acquire_question_slot(
    page: &PageState,
    connection: Option<&ConnectionSlot>,
) -> Option<OwnedSemaphorePermit> {
    let slots = Arc::clone(&page.0.question_slots);
    if let Ok(slot) = Arc::clone(&slots).try_acquire_owned() {
        return Some(slot);
    }
    if !connection.is_some_and(ConnectionSlot::evict_slow_upload) {
        return None;
    }
    let freed = timeout(EVICTION_TIMEOUT, slots.acquire_owned()).await;
    freed.ok()?.ok()
}

/// Streams the answer as lines of JSON. If the client disconnects, the work is cancelled.
fn stream_answer(page: PageState, question: AskForm, slot: OwnedSemaphorePermit) -> Response {
    let outbox = PageEventQueue::default();
    let sender = outbox.clone();
    let upload = question.spoken.as_ref().and_then(|it| it.upload.as_ref());
    if let Some(Upload { id, .. }) = upload {
        outbox.push(PageEvent::Coming { id: id.clone() });
    }
    let work = tokio::spawn(async move {
        let _slot = slot;
        let last = process_question(&page, question, &sender).await;
        sender.push(last);
    });
    let state = Some((outbox, AbortOnDropHandle::new(work)));
    let lines = stream::unfold(state, async |state| {
        let (outbox, work) = state?;
        let event = match timeout(KEEP_ALIVE_INTERVAL, outbox.next()).await {
            Ok(event) => event,
            // Only a panic ends the work without a final event.
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

/// Runs the pipeline for a question until its final event.
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
    let failed = |stage: &'static str, error: &PipelineError| {
        tracing::warn!(error = error as &dyn std::error::Error, stage, "no answer");
        PageEvent::Failed {
            text: ui_text::failure(name.as_deref(), error),
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
            recording, upload, ..
        }) => {
            let started_at = Instant::now();
            let transcription = async {
                let hints = &pipeline.hints;
                let can_upload_early = recording.is_growing() && pipeline.supports_upload();
                let upload_permit = if can_upload_early {
                    acquire_permit(page, CallCost::Speech(UPLOAD_SLICE)).await
                } else {
                    None
                };
                let mut decoded = match upload_permit {
                    Some(permit) => {
                        let payment = (permit, (ANONYMOUS_PAYER, NO_SESSION_ACCOUNT));
                        let decoding =
                            pipeline.decode_with_upload(recording, payment, hints, &reply);
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
            match transcription.await {
                Err(_) if upload.as_ref().is_some_and(Upload::is_incomplete) => {
                    return PageEvent::Failed {
                        text: ui_text::web::CONNECTION_LOST.to_owned(),
                        stage: HEARING_STAGE,
                    };
                }
                Err(error) => return failed(HEARING_STAGE, &error),
                Ok(None) => return daily_limit_event(HEARING_STAGE),
                Ok(Some(heard)) => {
                    // The time spent recording does not count as waiting.
                    let uploaded_at = upload.and_then(|it| it.completed_at());
                    let text = ui_text::strip_control_chars(heard.transcript.text.trim());
                    let turn = user_turn(&text, typed.as_deref());
                    outbox.push(PageEvent::Heard {
                        text,
                        by: heard.transcript.provider,
                        took_seconds: to_rounded_seconds(
                            uploaded_at.unwrap_or(started_at).elapsed(),
                        ),
                        duration_seconds: to_rounded_seconds(heard.duration),
                    });
                    turn
                }
            }
        }
    };
    turns.push(turn);
    let started_at = Instant::now();
    let cost = pipeline
        .chat
        .max_cost(&pipeline.conversation(turns.clone()));
    let Some(permit) = acquire_permit(page, cost).await else {
        return daily_limit_event(ANSWERING_STAGE);
    };
    match pipeline.answer(&permit, turns, &reply).await {
        Err(error) => failed(ANSWERING_STAGE, &error),
        Ok(answer) => {
            let card = pipeline.chat.card();
            PageEvent::Answered {
                text: ui_text::strip_control_chars(answer.text.0.trim()),
                by: ui_text::model_and_host(&card.model, &card.host),
                took_seconds: to_rounded_seconds(started_at.elapsed()),
                finish: finish_name(answer.end.reason),
                notice: card.notice,
            }
        }
    }
}

/// The page has no user accounts.
const ANONYMOUS_PAYER: Payer = Payer {
    guild: None,
    author: 0,
};

/// The page has no ledger to account in.
const NO_SESSION_ACCOUNT: UsageAccount = UsageAccount::Session(SessionId(0));

/// Admits one paid call if the page's daily limits allow it.
async fn acquire_permit(page: &PageState, cost: CallCost) -> Option<Permit> {
    let request = PermitRequest {
        payer: ANONYMOUS_PAYER,
        account: NO_SESSION_ACCOUNT,
        cost,
        reservation: None,
        allowed_engines: AllowedEngines::All,
    };
    page.0.admission.admit(&request).await.ok()?.ok()
}

fn daily_limit_event(stage: &'static str) -> PageEvent {
    tracing::info!(stage, "a cap of the day is reached");
    PageEvent::Failed {
        text: ui_text::web::DAILY_LIMIT_REACHED.to_owned(),
        stage,
    }
}

/// Seconds, rounded to the millisecond.
fn to_rounded_seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}
