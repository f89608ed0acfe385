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

use super::coming::{Begun, Coming};
use super::events::{Event, Outbox, finish};
use super::page::{Page, refused};
use super::places::Place;
use super::reply::PageReply;
use crate::chat::{Role, Turn};
use crate::flow::admission::{Ask, Cost, Engines, Payer, Permit};
use crate::flow::paid_upload::UPLOAD_SLICE;
use crate::flow::{Failure, Reply, spoken_turn};
use crate::store::{Account, SessionId};
use crate::words;
use audio::{AudioError, Recording, Spool};
use net::Cause;

/// The most of a form that is not its recording, in bytes.
pub(super) const LARGEST_FORM: usize = MAX_TURNS_BYTES + MAX_QUESTION_BYTES + 16 * 1024;

/// The most turns of a conversation that are taken along.
const MAX_TURNS: usize = 40;

/// The most bytes of these turns.
const MAX_TURNS_BYTES: usize = 256 * 1024;

/// The longest typed question, in bytes.
const MAX_QUESTION_BYTES: usize = 32 * 1024;

/// The longest name of a recording that is told again, in characters.
const MAX_NAME: usize = 80;

/// The longest time in which nothing comes of a question.
const STALL: Duration = Duration::from_secs(30);

/// The longest time that all of a question may take to come.
const LONGEST_UPLOAD: Duration = Duration::from_secs(600);

/// How long an upload may take to end once somebody else is given its place.
const GIVING_WAY: Duration = Duration::from_secs(1);

/// How often a page is told that somebody is still at work.
const ALIVE: Duration = Duration::from_secs(5);

/// What somebody asks.
struct Question {
    turns: Vec<Turn>,
    typed: Option<String>,
    spoken: Option<Spoken>,
}

/// What somebody says.
struct Spoken {
    /// What people call it, if it is a file of somebody's.
    name: Option<String>,
    recording: Recording,
    /// It is still being made.
    coming: Option<Begun>,
}

/// A turn as the page sends it.
#[derive(Deserialize)]
struct Said {
    role: Speaker,
    text: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Speaker {
    User,
    Assistant,
}

/// Why a form is no question. Nothing of what stands in it is kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("form: {0}")]
    Form(StatusCode),
    #[error("no form")]
    NoForm,
    #[error("conversation: {0}")]
    Turns(Cause),
    #[error("recording: {0}")]
    Recording(#[from] AudioError),
    #[error("too long a text")]
    TooMuchText,
    #[error("nothing is asked")]
    Nothing,
    #[error("it comes too slowly")]
    Stalled,
}

impl From<MultipartError> for Unusable {
    fn from(error: MultipartError) -> Self {
        Self::Form(error.status())
    }
}

impl From<MultipartRejection> for Unusable {
    fn from(_: MultipartRejection) -> Self {
        Self::NoForm
    }
}

impl From<serde_json::Error> for Unusable {
    fn from(error: serde_json::Error) -> Self {
        Self::Turns(Cause::of(&error))
    }
}

pub(super) async fn ask(
    State(page): State<Page>,
    seat: Option<Extension<Place>>,
    form: Result<Multipart, MultipartRejection>,
) -> Response {
    let Some(place) = free_place(&page, seat.as_deref()).await else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, words::web::BUSY);
    };
    let question = match form {
        Ok(form) => {
            let reading = read(form, page.0.pipeline.limits.bytes, &page.0.coming);
            let question = timeout(LONGEST_UPLOAD, reading).await;
            question.unwrap_or(Err(Unusable::Stalled))
        }
        Err(error) => Err(error.into()),
    };
    match question {
        Ok(question) => answer(page, question, place),
        Err(error) => refuse(&error),
    }
}

/// A place among the questions that are worked on. Where all are taken, an upload that has gone on
/// for long ends for it: somebody slow must not keep everybody from asking.
async fn free_place(page: &Page, seat: Option<&Place>) -> Option<OwnedSemaphorePermit> {
    let places = Arc::clone(&page.0.places);
    if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
        return Some(place);
    }
    if !seat.is_some_and(Place::ends_an_upload) {
        return None;
    }
    let freed = timeout(GIVING_WAY, places.acquire_owned()).await;
    freed.ok()?.ok()
}

/// Reads the form: `turns`, then `text`, `recording`, or both; `coming` instead of a recording that
/// is still being made.
async fn read(mut form: Multipart, largest: u64, all: &Arc<Coming>) -> Result<Question, Unusable> {
    let mut question = Question {
        turns: Vec::new(),
        typed: None,
        spoken: None,
    };
    while let Some(field) = in_time(form.next_field()).await? {
        match field.name() {
            Some("turns") => question.turns = turns(&text(field, MAX_TURNS_BYTES).await?)?,
            Some("text") => question.typed = Some(text(field, MAX_QUESTION_BYTES).await?),
            Some("recording") => question.spoken = Some(recording(field, largest).await?),
            Some("coming") => {
                let begun = all.begin(largest)?;
                question.spoken = Some(Spoken {
                    name: None,
                    recording: begun.recording.clone(),
                    coming: Some(begun),
                });
            }
            _ => {}
        }
    }
    question.typed = question.typed.filter(|text| !text.trim().is_empty());
    if question.typed.is_none() && question.spoken.is_none() {
        return Err(Unusable::Nothing);
    }
    Ok(question)
}

async fn in_time<T>(part: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Unusable> {
    match timeout(STALL, part).await {
        Ok(part) => Ok(part?),
        Err(_) => Err(Unusable::Stalled),
    }
}

async fn text(mut field: Field<'_>, most: usize) -> Result<String, Unusable> {
    let mut text = Vec::new();
    while let Some(piece) = in_time(field.chunk()).await? {
        if text.len() + piece.len() > most {
            return Err(Unusable::TooMuchText);
        }
        text.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The last turns of the conversation, oldest first.
fn turns(json: &str) -> Result<Vec<Turn>, serde_json::Error> {
    let said: Vec<Said> = serde_json::from_str(json)?;
    let surplus = said.len().saturating_sub(MAX_TURNS);
    let turn = |it: Said| Turn {
        role: match it.role {
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
        },
        speaker: None,
        text: it.text,
    };
    Ok(said.into_iter().skip(surplus).map(turn).collect())
}

async fn recording(mut field: Field<'_>, largest: u64) -> Result<Spoken, Unusable> {
    let name = field.file_name().unwrap_or_default().to_owned();
    // What the page has recorded has a name that nobody gave it.
    let name = (!name.is_empty() && !name.starts_with("recording."))
        .then(|| ::net::shorten(&name, MAX_NAME));
    let mut spool = Spool::new(largest)?;
    while let Some(piece) = in_time(field.chunk()).await? {
        spool.write(&piece)?;
    }
    let recording = spool.finish(name.as_deref().unwrap_or("recording"))?;
    Ok(Spoken {
        name,
        recording,
        coming: None,
    })
}

pub(super) fn refuse(error: &Unusable) -> Response {
    tracing::info!(%error, "a question can't be used");
    let status = match error {
        Unusable::Form(status) => *status,
        Unusable::NoForm => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Unusable::Recording(AudioError::TooManyBytes { .. }) | Unusable::TooMuchText => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        Unusable::Recording(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Unusable::Stalled => StatusCode::REQUEST_TIMEOUT,
        Unusable::Turns(_) | Unusable::Nothing => StatusCode::BAD_REQUEST,
    };
    let sentence = match error {
        Unusable::Recording(error) => words::audio("The recording", error),
        Unusable::TooMuchText => words::web::TOO_MUCH_TEXT.to_owned(),
        Unusable::Nothing => words::web::NOTHING.to_owned(),
        Unusable::Form(StatusCode::PAYLOAD_TOO_LARGE) => words::web::TOO_LARGE.to_owned(),
        Unusable::Stalled | Unusable::Form(_) => words::web::BROKE_OFF.to_owned(),
        Unusable::NoForm | Unusable::Turns(_) => words::web::NO_QUESTION.to_owned(),
    };
    refused(status, &sentence)
}

/// The answer, line by line. Who goes away ends the work.
fn answer(page: Page, question: Question, place: OwnedSemaphorePermit) -> Response {
    let outbox = Outbox::default();
    let telling = outbox.clone();
    let coming = question.spoken.as_ref().and_then(|it| it.coming.as_ref());
    if let Some(Begun { id, .. }) = coming {
        outbox.tell(Event::Coming { id: id.clone() });
    }
    let work = tokio::spawn(async move {
        let _place = place;
        let last = worked_on(&page, question, &telling).await;
        telling.tell(last);
    });
    let begun = Some((outbox, AbortOnDropHandle::new(work)));
    let lines = stream::unfold(begun, async |state| {
        let (outbox, work) = state?;
        let event = match timeout(ALIVE, outbox.next()).await {
            Ok(event) => event,
            // Only a panic ends the work without a last word.
            Err(_) if work.is_finished() => Event::Failed {
                text: words::web::BROKE_OFF.to_owned(),
                stage: ANSWERING,
            },
            Err(_) => Event::Alive,
        };
        let next = (!event.is_last()).then_some((outbox, work));
        Some((Ok::<_, Infallible>(event.line()), next))
    });
    let head = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (head, Body::from_stream(lines)).into_response()
}

const HEARING: &str = "hearing";
const ANSWERING: &str = "answering";

/// Works on a question to its last word.
async fn worked_on(page: &Page, question: Question, outbox: &Outbox) -> Event {
    let pipeline = &page.0.pipeline;
    let reply: Arc<dyn Reply> = Arc::new(PageReply::new(outbox.clone()));
    let Question {
        mut turns,
        typed,
        spoken,
    } = question;
    let name = spoken.as_ref().and_then(|it| it.name.clone());
    let failed = |stage: &'static str, failure: &Failure| {
        tracing::warn!(
            error = failure as &dyn std::error::Error,
            stage,
            "no answer"
        );
        Event::Failed {
            text: words::failure(name.as_deref(), failure),
            stage,
        }
    };
    let turn = match spoken {
        None => Turn {
            role: Role::User,
            speaker: None,
            text: typed.unwrap_or_default(),
        },
        Some(Spoken {
            recording, coming, ..
        }) => {
            let begun = Instant::now();
            let heard = async {
                let hints = &pipeline.hints;
                let uploads = recording.is_growing() && pipeline.takes_uploads();
                let early = if uploads {
                    permit(page, Cost::Speech(UPLOAD_SLICE)).await
                } else {
                    None
                };
                let mut decoded = match early {
                    Some(permit) => {
                        let early = (permit, (PAYER, ACCOUNT));
                        let decoding = pipeline.decode_uploading(recording, early, hints, &reply);
                        decoding.await?
                    }
                    None => pipeline.decode(recording, hints, &reply).await?,
                };
                if let Some(heard) = pipeline.uploaded(&mut decoded, &reply).await? {
                    return Ok(Some(heard));
                }
                let Some(permit) = permit(page, Cost::Speech(decoded.duration())).await else {
                    return Ok(None);
                };
                let heard = pipeline.write_down(&permit, decoded, hints, &reply).await?;
                Ok::<_, Failure>(Some(heard))
            };
            match heard.await {
                Err(_) if coming.as_ref().is_some_and(Begun::has_broken_off) => {
                    return Event::Failed {
                        text: words::web::BROKE_OFF.to_owned(),
                        stage: HEARING,
                    };
                }
                Err(failure) => return failed(HEARING, &failure),
                Ok(None) => return spent(HEARING),
                Ok(Some(heard)) => {
                    // While it was being made nobody waited.
                    let whole = coming.and_then(|it| it.whole_since());
                    let text = words::printable(heard.transcript.text.trim());
                    let turn = spoken_turn(&text, typed.as_deref());
                    outbox.tell(Event::Heard {
                        text,
                        by: heard.transcript.provider,
                        took_seconds: seconds(whole.unwrap_or(begun).elapsed()),
                        duration_seconds: seconds(heard.duration),
                    });
                    turn
                }
            }
        }
    };
    turns.push(turn);
    let begun = Instant::now();
    let cost = pipeline.chat.cost(&pipeline.conversation(turns.clone()));
    let Some(permit) = permit(page, cost).await else {
        return spent(ANSWERING);
    };
    match pipeline.answer(&permit, turns, &reply).await {
        Err(failure) => failed(ANSWERING, &failure),
        Ok(answered) => {
            let card = pipeline.chat.card();
            Event::Answered {
                text: words::printable(answered.text.0.trim()),
                by: words::model(&card.model, &card.host),
                took_seconds: seconds(begun.elapsed()),
                finish: finish(answered.end.reason),
                notice: card.notice,
            }
        }
    }
}

/// Nobody in particular.
const PAYER: Payer = Payer {
    guild: None,
    author: 0,
};

/// There is no ledger in which it would have a place.
const ACCOUNT: Account = Account::Session(SessionId(0));

/// The right to one paid call, if the caps for everybody leave room for it.
async fn permit(page: &Page, cost: Cost) -> Option<Permit> {
    let ask = Ask {
        payer: PAYER,
        account: ACCOUNT,
        cost,
        hold: None,
        at_most: Engines::All,
    };
    page.0.admission.admit(&ask).await.ok()?.ok()
}

fn spent(stage: &'static str) -> Event {
    tracing::info!(stage, "a cap of the day is reached");
    Event::Failed {
        text: words::web::SPENT.to_owned(),
        stage,
    }
}

/// In seconds, to the millisecond.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}
