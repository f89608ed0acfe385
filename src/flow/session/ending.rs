//! How a session ends: the reason is in the ledger before anything else happens; then what is left
//! is told, its transcript, a summary, and how well everybody was heard.

use std::time::Duration;

use async_trait::async_trait;

use super::board::{Board, Remains};
use super::report::Report;
use super::summary::{self, Bounds, Model, NoSummary, Summary};
use super::{Answers, Ending, Setup, record};
use crate::chat::{ChatError, Conversation};
use crate::flow::admission::{Ask, Engines, Payer};
use crate::flow::asking::ask as ask_model;
use crate::flow::consent::{Stamp, Stamped, Stamps};
use crate::flow::desk::Desk;
use crate::flow::work::Workshop;
use crate::store::{Account, EndedSession, Line, LineKind, OpenSession, Session, SessionId};
use crate::store::{StoreError, Timestamp};

/// The longest time a summary may take.
const SUMMARY_LIMIT: Duration = Duration::from_secs(300);

/// An end that has been written down. Nobody can do anything about an end without one, and only
/// [`begin`] and the ledger give it.
#[derive(Clone, Debug)]
pub struct Noted {
    session: SessionId,
    ending: Ending,
    at: Timestamp,
}

impl Noted {
    /// Why it ends.
    #[must_use]
    pub fn ending(&self) -> Ending {
        self.ending
    }

    /// When it ended.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl From<&EndedSession> for Noted {
    fn from(ended: &EndedSession) -> Self {
        Self {
            session: ended.session.id,
            // A newer program may know more reasons.
            ending: serde_json::from_str(&ended.ending).unwrap_or(Ending::Interrupted),
            at: ended.at,
        }
    }
}

/// Ends a session in the ledger. If it has ended already, the first reason stands. Where the ledger
/// can't be written it ends all the same, and that is tried again before the end is told.
pub async fn begin(workshop: &Workshop, session: SessionId, ending: Ending) -> Noted {
    let noted = Noted {
        session,
        ending,
        at: (workshop.clock)(),
    };
    match written(workshop, &noted).await {
        Ok(Some(ended)) => Noted::from(&ended),
        // All is told already, or it is gone with its server.
        Ok(None) => noted,
        Err(error) => {
            log("the end is not written down", &error);
            noted
        }
    }
}

async fn written(workshop: &Workshop, noted: &Noted) -> Result<Option<EndedSession>, StoreError> {
    let reason = serde_json::to_string(&noted.ending).map_err(|_| StoreError::Damaged)?;
    workshop
        .store
        .end_session(noted.session, &reason, noted.at)
        .await
}

/// Ends a session that a process has left and nobody goes on with.
pub async fn begin_left(workshop: &Workshop, left: OpenSession, ending: Ending) -> Noted {
    let id = left.session().id;
    if let Some(since) = left.deaf_ms()
        && let Err(error) = unheard(workshop, left.session(), since).await
    {
        log("what was not heard is not written down", &error);
    }
    begin(workshop, id, ending).await
}

/// A line for the time in which nobody could be heard when the process was killed.
async fn unheard(workshop: &Workshop, session: &Session, since: u64) -> Result<(), StoreError> {
    let store = &workshop.store;
    let lines = store.lines(session.id).await?;
    let until = super::call::age(session, session.seen).as_millis();
    let line = Line {
        number: lines.iter().map(|line| line.number).max().unwrap_or(0) + 1,
        author: 0,
        name: String::new(),
        start_ms: since,
        end_ms: u64::try_from(until).unwrap_or(u64::MAX).max(since),
        kind: LineKind::Deaf,
        text: String::new(),
    };
    let kept = store.add_line(session.id, &line, session.seen, &|| true);
    kept.await?;
    store.session_deaf(session.id, None).await
}

/// Tells what is left of a session that has ended; once, also if several processes do it one after
/// the other. Returns false if something is still to be told.
pub async fn tell(
    desk: &Desk,
    board: &dyn Board,
    session: &Session,
    noted: &Noted,
    (bot, report): (&str, Option<Report>),
) -> bool {
    let workshop = desk.workshop();
    let kept = match written(workshop, noted).await {
        Ok(Some(kept)) => Some(kept),
        Ok(None) => return true,
        Err(error) => {
            // Whoever waits for the end gets it all the same.
            log("the end is not written down", &error);
            None
        }
    };
    let ended = Session {
        ended: Some(noted.at),
        ..session.clone()
    };
    let setup: Option<Setup> = serde_json::from_str(&session.of.payload).ok();
    if let Err(error) = workshop.book(session.of.guild).await {
        log("who may be heard can't be read", &error);
    }
    // All that is still to be shown is shown first, so that the end is told as it is then.
    board.settle().await;
    let lines = match record::all(&workshop.consents, &workshop.store, &ended, bot).await {
        Ok(lines) => lines,
        Err(error) => {
            log("the transcript can't be read", &error);
            Vec::new()
        }
    };
    // What an earlier process has kept may hold what could not be deleted since.
    let kept = kept.filter(|_| !workshop.consents.is_behind());
    let report = report_of(workshop, kept.as_ref(), report, &lines).await;
    let wanted = setup
        .as_ref()
        .is_some_and(|it| it.answers != Answers::Never);
    let summary = match wanted && board.stands() {
        true => summary_of(desk, session, kept.as_ref(), &lines).await,
        false => None,
    };
    let (summary, summed_up) = summary.map_or_else(Default::default, |(summary, summed_up)| {
        (Some(summary), summed_up)
    });
    let book = workshop.consents.book(session.of.guild);
    let speakers = report.speakers.into_iter();
    let remains = Remains {
        ending: noted.ending,
        title: setup.map(|it| it.title).unwrap_or_default(),
        started: session.started,
        ended: noted.at,
        speakers: speakers
            .filter_map(|heard| Some(book.stamp(heard.person)?.on(heard)))
            .collect(),
        deaf: report.deaf,
        lines,
        summary,
        summed_up,
    };
    if !board.close(&remains).await {
        return false;
    }
    match workshop.store.close_session(session.id).await {
        Ok(_) => true,
        Err(error) => {
            log("the session is not closed", &error);
            false
        }
    }
}

/// How everybody was heard, as it is told by every process.
async fn report_of(
    workshop: &Workshop,
    kept: Option<&EndedSession>,
    counted: Option<Report>,
    lines: &[Stamped<Line>],
) -> Report {
    let known = kept.and_then(|kept| kept.report.as_deref());
    if let Some(report) = known.and_then(|json| serde_json::from_str(json).ok()) {
        return report;
    }
    let report = counted.unwrap_or_else(|| Report::of(&opened(lines)));
    let Some(kept) = kept else {
        return report;
    };
    let book = workshop.consents.book(kept.session.of.guild);
    let speakers = report.speakers.iter();
    let stamps: Option<Vec<Stamp>> = speakers.map(|it| book.stamp(it.person)).collect();
    // One with the name of somebody who may not be told is not kept; it is made again.
    if let (Some(stamps), Ok(json)) = (stamps, serde_json::to_string(&report)) {
        let stamps: Stamps = stamps.into_iter().collect();
        let (store, id) = (&workshop.store, kept.session.id);
        if let Err(error) = store.keep_report(id, &json, &|| stamps.hold()).await {
            log("the report is not kept", &error);
        }
    }
    report
}

/// What it was about, and whose leave that rests on. What was paid for once is kept until it is
/// told. None if nothing was said that may be used.
async fn summary_of(
    desk: &Desk,
    session: &Session,
    kept: Option<&EndedSession>,
    lines: &[Stamped<Line>],
) -> Option<(Result<Summary, NoSummary>, Stamps)> {
    let known = kept.and_then(|kept| kept.summary.as_deref());
    if let Some(summary) = known.and_then(|json| serde_json::from_str(json).ok()) {
        // Whoever takes something back has it deleted.
        let holding = lines.iter().filter(|line| line.look().is_some());
        let stamps = holding.map(|line| line.stamp().clone()).collect();
        return Some((Ok(summary), stamps));
    }
    // It belongs to whoever began the session.
    let (made, stamps) = summarize(desk, session, session.of.asked_by, lines).await?;
    if let (Some(kept), Ok(summary)) = (kept, &made)
        && let Ok(json) = serde_json::to_string(summary)
    {
        let (store, id) = (&desk.workshop().store, kept.session.id);
        if let Err(error) = store.keep_summary(id, &json, &|| stamps.hold()).await {
            log("the summary is not kept", &error);
        }
    }
    Some((made, stamps))
}

/// The summary of what was said so far, for `author`, who asks for it. None if nothing was said.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn so_far(
    desk: &Desk,
    session: &Session,
    author: u64,
    bot: &str,
) -> Result<Option<Result<Summary, NoSummary>>, StoreError> {
    let workshop = desk.workshop();
    let lines = record::all(&workshop.consents, &workshop.store, session, bot).await?;
    let made = summarize(desk, session, author, &lines).await;
    // It is told to whoever asks, at once.
    Ok(made.map(|(summary, _)| summary))
}

fn opened(lines: &[Stamped<Line>]) -> Vec<Line> {
    lines.iter().filter_map(Stamped::look).cloned().collect()
}

/// What the lines come to, and whose leave that rests on. None if nothing was said that may be
/// used.
async fn summarize(
    desk: &Desk,
    session: &Session,
    author: u64,
    lines: &[Stamped<Line>],
) -> Option<(Result<Summary, NoSummary>, Stamps)> {
    loop {
        let holding = lines.iter().filter(|line| line.look().is_some());
        let stamps: Stamps = holding.map(|line| line.stamp().clone()).collect();
        let open = opened(lines);
        if open.is_empty() {
            return None;
        }
        // Whoever takes back what they said ends this, and it is made anew without them: each time
        // there are fewer.
        let work = sum_up(desk, session, author, &open);
        if let Some(made) = stamps.unless_withdrawn(work).await {
            return Some((made, stamps));
        }
    }
}

async fn sum_up(
    desk: &Desk,
    session: &Session,
    author: u64,
    lines: &[Line],
) -> Result<Summary, NoSummary> {
    let model = Paying {
        workshop: desk.workshop(),
        payer: Payer {
            guild: Some(session.of.guild),
            author,
        },
        account: Account::Session(session.id),
    };
    let work = summary::summarize(&model, lines, Bounds::default());
    let made = match tokio::time::timeout(SUMMARY_LIMIT, work).await {
        Ok(made) => made,
        Err(_) => Err(ChatError::TimedOut(SUMMARY_LIMIT).into()),
    };
    made.inspect_err(|error| {
        tracing::warn!(
            session = session.id.0,
            error = error as &dyn std::error::Error,
            "no summary"
        );
    })
}

/// The model, each of whose answers is judged and booked.
struct Paying<'a> {
    workshop: &'a Workshop,
    payer: Payer,
    account: Account,
}

#[async_trait]
impl Model for Paying<'_> {
    async fn answer(&self, question: &Conversation, limit: Duration) -> Result<String, NoSummary> {
        let workshop = self.workshop;
        let ask = Ask {
            payer: self.payer,
            account: self.account,
            cost: workshop.pipeline.chat.cost(question),
            hold: None,
            at_most: Engines::All,
        };
        let permit = workshop.admission.admit(&ask).await?;
        let permit = permit.map_err(NoSummary::Rules)?;
        let chat = match (permit.engines(), &workshop.local) {
            (Engines::Local, Some(local)) => &local.chat,
            _ => &workshop.pipeline.chat,
        };
        let answered = ask_model((chat, &permit), question, limit, |_| {}).await;
        permit.settle().await;
        Ok(answered?.text.0)
    }
}

fn log(what: &'static str, error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}
