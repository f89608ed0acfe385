//! What is left of a session: its transcript, a summary, and how well everybody was heard.

use std::time::Duration;

use super::board::{Board, Remains};
use super::files::Facts;
use super::report::Report;
use super::summary::{self, Bounds, Summary};
use super::{Answers, Ending, Setup, record};
use crate::chat::ChatError;
use crate::flow::desk::Desk;
use crate::store::{Line, Session, Stage, StoreError, Used};

/// The longest time a summary may take.
const SUMMARY_LIMIT: Duration = Duration::from_secs(300);

/// Ends a session in the ledger and shows what is left of it.
pub(super) async fn close(
    desk: &Desk,
    board: &dyn Board,
    session: &Session,
    setup: &Setup,
    (bot, report): (&str, Option<Report>),
    ending: Ending,
) {
    let workshop = desk.workshop();
    let now = (workshop.clock)();
    let ended = Session {
        ended: Some(now),
        ..session.clone()
    };
    let lines = match record::all(&workshop.store, &ended, bot).await {
        Ok(lines) => lines,
        Err(error) => {
            log("the transcript can't be read", &error);
            Vec::new()
        }
    };
    let summary = if setup.answers == Answers::Never || lines.is_empty() {
        None
    } else {
        Some(summarize(desk, session, &lines).await)
    };
    let remains = Remains {
        ending,
        facts: Facts {
            title: setup.title.clone(),
            started: session.started,
            ended: Some(now),
            report: report.unwrap_or_else(|| Report::of(&lines)),
        },
        lines,
        summary,
    };
    board.close(&remains).await;
    // Only now: a process that is killed before does it again.
    if let Err(error) = workshop.store.close_session(session.id, now).await {
        log("the session is not closed", &error);
    }
}

/// The summary of what was said so far. None if nothing was said.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn so_far(
    desk: &Desk,
    session: &Session,
    bot: &str,
) -> Result<Option<Result<Summary, ChatError>>, StoreError> {
    let lines = record::all(&desk.workshop().store, session, bot).await?;
    if lines.is_empty() {
        return Ok(None);
    }
    Ok(Some(summarize(desk, session, &lines).await))
}

async fn summarize(desk: &Desk, session: &Session, lines: &[Line]) -> Result<Summary, ChatError> {
    let workshop = desk.workshop();
    let chat = &workshop.pipeline.chat;
    let work = summary::summarize(&**chat, lines, Bounds::default());
    let made = match tokio::time::timeout(SUMMARY_LIMIT, work).await {
        Ok(made) => made,
        Err(_) => Err(ChatError::TimedOut(SUMMARY_LIMIT)),
    };
    let (summary, usage) = made.inspect_err(|error| {
        tracing::warn!(
            session = session.id.0,
            error = error as &dyn std::error::Error,
            "no summary"
        );
    })?;
    let micros = (!chat.card().is_local()).then(|| workshop.rules.prices.chat(usage));
    let used = Used {
        tokens_in: usage.prompt_tokens,
        tokens_out: usage.answer_tokens,
        micros: micros.unwrap_or(0),
        ..Used::default()
    };
    let (guild, by) = (session.of.guild, session.of.asked_by);
    let now = (workshop.clock)();
    let booked = workshop
        .store
        .book_session(session.id, guild, by, Stage::Chat, used, now)
        .await;
    if let Err(error) = booked {
        log("the summary is not booked", &error);
    }
    Ok(summary)
}

fn log(what: &'static str, error: &StoreError) {
    tracing::error!(error = error as &dyn std::error::Error, "{what}");
}
