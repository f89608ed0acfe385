//! What is left of a session: its transcript, a summary, and how well everybody was heard.

use std::time::Duration;

use async_trait::async_trait;

use super::board::{Board, Remains};
use super::files::Facts;
use super::report::Report;
use super::summary::{self, Bounds, Model, NoSummary, Summary};
use super::{Answers, Ending, Setup, record};
use crate::chat::{ChatError, Conversation};
use crate::flow::admission::{Ask, Engines, Payer};
use crate::flow::asking::ask as ask_model;
use crate::flow::desk::Desk;
use crate::flow::work::Workshop;
use crate::store::{Account, Line, Session, StoreError};

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
    let summary = if setup.answers == Answers::Never || lines.is_empty() || !board.stands() {
        None
    } else {
        // It belongs to whoever began the session.
        Some(summarize(desk, session, session.of.asked_by, &lines).await)
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
    let lines = record::all(&desk.workshop().store, session, bot).await?;
    if lines.is_empty() {
        return Ok(None);
    }
    Ok(Some(summarize(desk, session, author, &lines).await))
}

async fn summarize(
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
