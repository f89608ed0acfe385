//! From what is heard to lines of the transcript.

use std::time::Duration;

use metrics::{counter, histogram};
use tokio::task::{Id, JoinError};

use super::{CONTEXT, Call, Checked, MAX_IN_FLIGHT, MAX_PEOPLE, WORTH_A_LINE, log, said};
use crate::audio::{EarEvent, Utterance};
use crate::flow::server::{MAX_TERMS, ServerSettings};
use crate::flow::session::board::Remark;
use crate::flow::session::hearing::Heard;
use crate::flow::session::in_order::Ticket;
use crate::flow::session::speaking::{Awaited, LineEvent, Lines, Spoken};
use crate::flow::session::writing::{self, Words, Written};
use crate::speech::Hints;
use crate::store::{Line, LineKept, LineKind, StoreError};

impl Call {
    pub(super) async fn hear(&mut self, heard: Heard) {
        let person = heard.person;
        // Whoever has just said no is heard no more, whatever is still on its way.
        if !self.may_hear(person) {
            return;
        }
        match heard.event {
            EarEvent::SpeechStarted { .. } => {
                if self.live.is_none() {
                    let transcriber = self.desk.workshop().pipeline.transcriber.clone();
                    tokio::spawn(async move { transcriber.warm().await });
                }
                self.open_line(person).await;
            }
            EarEvent::Audio { samples, .. } => {
                if let Some(live) = &mut self.live {
                    live.push(person, &samples);
                }
            }
            EarEvent::Dismissed { .. } => {
                if let Some(live) = &mut self.live {
                    live.dismiss(person);
                }
                let name = self.name(person);
                self.board.partial(person, &name, "");
                counter!("talkback_utterances_total", "outcome" => "dismissed").increment(1);
            }
            EarEvent::Lost { at, length } => {
                let lost = self.lost.entry(person).or_insert((at, Duration::ZERO));
                lost.1 += length;
            }
            EarEvent::Utterance(utterance) => self.write_down(person, utterance).await,
        }
    }

    pub(super) async fn write_down(&mut self, person: u64, utterance: Utterance) {
        self.lost_line(person).await;
        let (start, end) = (utterance.start, utterance.speech_end());
        let lost = self.line(person, start, end, LineKind::Lost, String::new());
        let ticket = self.order.begin(start, lost);
        // Those that the live transcriber has are among them.
        if self.order.len() > MAX_IN_FLIGHT {
            counter!("talkback_utterances_total", "outcome" => "overrun").increment(1);
            self.order.missed(ticket);
            self.commit().await;
            return;
        }
        let utterance = match &mut self.live {
            Some(live) => live.end(person, ticket, utterance),
            None => Some(utterance),
        };
        if let Some(utterance) = utterance {
            self.write(ticket, person, utterance).await;
        }
    }

    /// Gives an utterance to a transcriber, whole.
    pub(super) async fn write(&mut self, ticket: Ticket, person: u64, utterance: Utterance) {
        if !self.board.stands() {
            // Nobody would read it.
            self.order.missed(ticket);
            self.commit().await;
            return;
        }
        let hints = self.hints().await;
        let writer = self.writer.clone();
        let writing = self
            .writing
            .spawn(writer.write(ticket, person, utterance, hints));
        self.tickets.insert(writing.id(), ticket);
    }

    /// An utterance comes back from where it was written down.
    pub(super) async fn came_back(&mut self, done: Result<(Id, Written), JoinError>) {
        match done {
            Ok((id, written)) => {
                self.tickets.remove(&id);
                self.written(written).await;
            }
            Err(error) => {
                tracing::error!(
                    session = self.session.id.0,
                    panicked = error.is_panic(),
                    "an utterance did not come back"
                );
                if let Some(ticket) = self.tickets.remove(&error.id()) {
                    self.order.missed(ticket);
                    self.commit().await;
                }
            }
        }
    }

    /// A line to the live transcriber for somebody who begins to speak, if they may cost more.
    pub(super) async fn open_line(&mut self, person: u64) {
        if self.live.as_ref().is_none_or(|live| live.has(person)) || !self.board.stands() {
            return;
        }
        let Some(permit) = self.writer.may_listen(person).await else {
            return;
        };
        let hints = self.hints().await;
        let books = self.writer.books(person);
        if let Some(live) = &mut self.live {
            live.open(person, (permit, books), hints);
        }
    }

    /// Nobody is listened to any more while nothing can be shown.
    pub(super) async fn close_lines(&mut self) {
        let closed = self.live.as_mut().map(Lines::close_all);
        for awaited in closed.into_iter().flatten() {
            self.order.missed(awaited.ticket);
        }
        self.commit().await;
    }

    /// Something came from the live transcriber.
    pub(super) async fn spoken(&mut self, event: LineEvent) {
        let person = event.0;
        let Some(live) = &mut self.live else {
            return;
        };
        match live.heard(event) {
            Spoken::Nothing => {}
            Spoken::Partial(text) => {
                if self.may_hear(person) {
                    let name = self.name(person);
                    self.board.partial(person, &name, &text);
                }
            }
            Spoken::Words(awaited, transcript) => {
                let Awaited { ticket, utterance } = *awaited;
                let (start, end) = (utterance.start, utterance.speech_end());
                let words = writing::judged(&transcript, utterance.speech);
                self.written(Written {
                    ticket,
                    person,
                    start,
                    end,
                    words,
                })
                .await;
            }
            Spoken::Failed(failed) => {
                for Awaited { ticket, utterance } in failed {
                    self.write(ticket, person, utterance).await;
                }
            }
        }
    }

    /// What helps to hear right: names, terms, and what was said before.
    pub(super) async fn hints(&self) -> Hints {
        let workshop = self.desk.workshop();
        let mut hints = workshop.pipeline.hints.clone();
        let guild = Some(self.session.of.guild);
        let settings = ServerSettings::of(&workshop.store, guild).await;
        let settings = settings.unwrap_or_default();
        for languages in [&settings.languages, &self.setup.languages] {
            if !languages.is_empty() {
                hints.languages.clone_from(languages);
            }
        }
        let present = self.people.values().filter(|person| person.present);
        let names = present.map(|person| person.name.clone());
        let mut terms: Vec<String> = settings.terms;
        terms.push(self.bot.clone());
        terms.extend(names);
        terms.append(&mut hints.key_terms);
        terms.truncate(MAX_TERMS);
        hints.key_terms = terms;
        hints.context.clone_from(&self.recent);
        hints
    }

    pub(super) async fn written(&mut self, written: Written) {
        let Written {
            ticket,
            person,
            start,
            end,
            words,
        } = written;
        let heard = self.may_hear(person);
        let line = match words {
            _ if !heard => None,
            Words::Said { text } => {
                counter!("talkback_utterances_total", "outcome" => "written").increment(1);
                self.told_failing = false;
                self.answer_check(person, Checked::Heard(text.clone()));
                Some(self.line(person, start, end, LineKind::Speech, text))
            }
            Words::Nothing => {
                counter!("talkback_utterances_total", "outcome" => "nothing").increment(1);
                self.answer_check(person, Checked::NoWords);
                None
            }
            Words::Failed(error) => {
                counter!("talkback_utterances_total", "outcome" => "failed").increment(1);
                tracing::warn!(
                    session = self.session.id.0,
                    error = &error as &dyn std::error::Error,
                    "an utterance is not written down"
                );
                if !std::mem::replace(&mut self.told_failing, true) {
                    self.board.remark(Remark::NotWrittenDown);
                }
                Some(self.line(person, start, end, LineKind::Lost, String::new()))
            }
            Words::Spent(verdict) => {
                counter!("talkback_utterances_total", "outcome" => "spent").increment(1);
                if !self.told_spent.contains(&person) && self.told_spent.len() < MAX_PEOPLE {
                    self.told_spent.push(person);
                    self.board.remark(Remark::Spent { person, verdict });
                }
                Some(self.line(person, start, end, LineKind::Lost, String::new()))
            }
            Words::Ledger(error) => {
                log("an utterance is not judged", &error);
                Some(self.line(person, start, end, LineKind::Lost, String::new()))
            }
        };
        self.order.done(ticket, line);
        self.commit().await;
    }

    /// Writes into the ledger and shows what is in order.
    pub(super) async fn commit(&mut self) {
        let mut shown = Vec::new();
        let mut asked = Vec::new();
        for mut line in self.order.ready() {
            // They may have said no while it waited.
            if line.kind != LineKind::Deaf && !self.may_hear(line.author) {
                continue;
            }
            line.number = self.next_line;
            if let Err(error) = self.keep(&line).await {
                log("a line is not kept", &error);
            }
            self.next_line += 1;
            if line.kind == LineKind::Speech {
                let end = Duration::from_millis(line.end_ms);
                let delay = self.clock.now().saturating_sub(end);
                histogram!("talkback_speech_to_line_seconds").record(delay);
                self.delays.entry(line.author).or_default().add(delay);
                if self.recent.len() >= CONTEXT {
                    self.recent.remove(0);
                }
                self.recent.push(said(&line));
                let people = self.present();
                if let Some(question) = self.asker.meant(&line, self.setup.answers, people) {
                    asked.push((line.clone(), question));
                }
            }
            self.board.partial(line.author, &line.name, "");
            shown.push(line);
        }
        if !shown.is_empty() {
            self.board.lines(shown);
        }
        for (line, question) in asked {
            self.asker.ask(&line, question);
        }
    }

    async fn keep(&mut self, line: &Line) -> Result<(), StoreError> {
        let workshop = self.desk.workshop();
        let now = (workshop.clock)();
        let kept = workshop.store.add_line(self.session.id, line, now).await?;
        if kept == LineKept::Full {
            tracing::warn!(session = self.session.id.0, "the transcript is full");
            self.full = true;
        }
        Ok(())
    }

    /// A line for what was lost of somebody, before they go on.
    pub(super) async fn lost_line(&mut self, person: u64) {
        let Some((at, length)) = self.lost.remove(&person) else {
            return;
        };
        if length >= WORTH_A_LINE {
            let line = self.line(person, at, at + length, LineKind::Lost, String::new());
            let ticket = self.order.begin(at, line);
            self.order.missed(ticket);
            self.commit().await;
        }
    }

    /// Nobody can be heard since then. The ledger knows it, should this process not live to see
    /// the end of it.
    pub(super) async fn deaf_from(&mut self, since: Duration) {
        self.deaf_since = Some(since);
        let since = u64::try_from(since.as_millis()).ok();
        let store = &self.desk.workshop().store;
        if let Err(error) = store.session_deaf(self.session.id, since).await {
            log("not kept that nobody is heard", &error);
        }
    }

    pub(super) async fn deaf(&mut self, from: Duration, to: Duration) {
        if self.deaf_since.take().is_some() {
            let store = &self.desk.workshop().store;
            if let Err(error) = store.session_deaf(self.session.id, None).await {
                log("not kept that people are heard", &error);
            }
        }
        let length = to.saturating_sub(from);
        self.deaf += length;
        let line = Line {
            author: 0,
            name: String::new(),
            ..self.line(0, from, to, LineKind::Deaf, String::new())
        };
        let ticket = self.order.begin(from, line);
        self.order.missed(ticket);
        self.commit().await;
    }

    pub(super) fn line(
        &self,
        person: u64,
        start: Duration,
        end: Duration,
        kind: LineKind,
        text: String,
    ) -> Line {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Line {
            number: 0,
            author: person,
            name: self.name(person),
            start_ms: millis(start),
            end_ms: millis(end),
            kind,
            text,
        }
    }
}
