//! What is said to the bot becomes a question like any other.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Answers;
use super::addressed::{Names, is_request};
use super::board::{Board, Remark};
use crate::flow::access::{Cleared, Standing};
use crate::flow::consent::Stamped;
use crate::flow::desk::{Carried, Desk, Refused, Request};
use crate::flow::memory::Conversation;
use crate::flow::order::{Order, Via, Wish};
use crate::flow::server::ServerSettings;
use crate::store::{Line, SessionId};

/// Whoever only says the bot's name has this long to say what they want.
const AFTER_NAME: Duration = Duration::from_secs(10);

/// People whose last request is remembered.
const MAX_REMEMBERED: usize = 256;

/// Questions that wait to be asked.
const MAX_WAITING: usize = 32;

/// Finds what is meant for the bot, and has it asked.
pub(super) struct Asker {
    names: Names,
    /// Who has said nothing but the bot's name, and when.
    called: HashMap<u64, Duration>,
    questions: mpsc::Sender<Stamped<(Line, String)>>,
}

/// Asks, one question after the other: the end of an older one may take its time.
struct Questions {
    desk: Arc<Desk>,
    board: Arc<dyn Board>,
    session: SessionId,
    guild: u64,
    channel: u64,
    /// The last request of each person.
    last: HashMap<u64, u64>,
    /// Who has been told that they may not ask.
    refused: HashSet<u64>,
}

impl Asker {
    pub(super) fn new(
        desk: Arc<Desk>,
        board: Arc<dyn Board>,
        names: Names,
        (session, guild, channel): (SessionId, u64, u64),
    ) -> Self {
        let (questions, mut waiting) = mpsc::channel(MAX_WAITING);
        let mut asks = Questions {
            desk,
            board,
            session,
            guild,
            channel,
            last: HashMap::new(),
            refused: HashSet::new(),
        };
        // It ends with the last question once the asker is gone.
        tokio::spawn(async move {
            while let Some(question) = waiting.recv().await {
                asks.ask(question).await;
            }
        });
        Self {
            names,
            called: HashMap::new(),
            questions,
        }
    }

    /// What of a line is meant for the bot, if anything is.
    pub(super) fn meant(&mut self, line: &Line, answers: Answers, people: usize) -> Option<String> {
        if matches!(answers, Answers::Command | Answers::Never) {
            return None;
        }
        let end = Duration::from_millis(line.end_ms);
        let start = Duration::from_millis(line.start_ms);
        if let Some(addressed) = self.names.addressed(&line.text) {
            if addressed.request.trim().is_empty() {
                if self.called.len() < MAX_REMEMBERED {
                    self.called.insert(line.author, end);
                }
                return None;
            }
            self.called.remove(&line.author);
            return Some(addressed.request);
        }
        let called = self.called.remove(&line.author);
        if called.is_some_and(|at| start.saturating_sub(at) <= AFTER_NAME) {
            return Some(line.text.clone());
        }
        let any = match answers {
            Answers::Always => true,
            Answers::Auto => people <= 1,
            Answers::Name | Answers::Command | Answers::Never => false,
        };
        (any && is_request(&line.text)).then(|| line.text.clone())
    }

    /// Asks it, without waiting. What the same person asked before and has no answer to yet is not
    /// answered any more.
    pub(super) fn ask(&self, question: Stamped<(Line, String)>) {
        if self.questions.try_send(question).is_err() {
            tracing::warn!("too many questions at once");
        }
    }
}

impl Questions {
    async fn cleared(&self, person: u64) -> Option<Cleared> {
        let store = &self.desk.workshop().store;
        let settings = match ServerSettings::of(store, Some(self.guild)).await {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "nobody is let in without the settings"
                );
                return None;
            }
        };
        let standing = match settings.role {
            Some(_) => self.board.standing(self.guild, person).await,
            None => Standing::default(),
        };
        standing.clear(&settings)
    }

    async fn ask(&mut self, asked: Stamped<(Line, String)>) {
        let stamp = asked.stamp().clone();
        let Some(cleared) = self.cleared(stamp.person()).await else {
            // Not everything that is said is meant for the bot, so once is enough.
            if self.refused.len() < MAX_REMEMBERED && self.refused.insert(stamp.person()) {
                self.board.remark(Remark::Refused(&Refused::NoAccess));
            }
            return;
        };
        let Some((line, question)) = asked.open() else {
            return;
        };
        let source = self.board.request_id();
        if self.last.len() >= MAX_REMEMBERED {
            self.last.clear();
        }
        if let Some(previous) = self.last.insert(line.author, source)
            && let Err(error) = self.desk.supersede(previous).await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a former question goes on"
            );
        }
        let order = Order {
            wish: Wish::Answer,
            name: line.name.clone(),
            recordings: Vec::new(),
            question: Some(question),
            conversation: Conversation::Call {
                session: self.session.0,
                before: Some(line.number),
            },
            via: Via::Spoken,
            borrowed: None,
        };
        let request = Request {
            source,
            guild: Some(self.guild),
            channel: self.channel,
            author: line.author,
            order,
            cleared,
            carried: Carried::default(),
        };
        match self.desk.take(stamp.on(request)).await {
            Ok(_) => {}
            Err(refused) => {
                if let Refused::Store(error) = &refused {
                    tracing::error!(error = error as &dyn std::error::Error, "not asked");
                }
                self.board.remark(Remark::Refused(&refused));
            }
        }
    }
}
