//! From what is heard to lines of the transcript.

use std::time::Duration;

use metrics::{counter, histogram};
use tokio::task::{Id, JoinError};

use super::{CONTEXT, Call, Checked, MAX_IN_FLIGHT, MAX_PEOPLE, WORTH_A_LINE, log, said};
use crate::flow::consent::{Stamp, Stamped};
use crate::flow::paid_upload::PaidUpload;
use crate::flow::server::ServerSettings;
use crate::flow::session::board::{Partial, Remark};
use crate::flow::session::briefing::Briefing;
use crate::flow::session::hearing::Heard;
use crate::flow::session::record;
use crate::flow::session::speaking::{LineEvent, Lines, Spoken};
use crate::flow::session::writing::{Awaited, Times, Words, Written};
use crate::store::{Line, LineKept, LineKind, StoreError};
use audio::{EarEvent, Utterance};

impl Call {
    pub(super) async fn hear(&mut self, heard: Heard) {
        let stamp = heard.stamp().clone();
        let person = stamp.person();
        // Whoever has just said no is heard no more, whatever is still on its way.
        let Some(event) = heard.open() else {
            return;
        };
        match event {
            EarEvent::SpeechStarted { .. } => {
                if self.live.is_none() {
                    let transcriber = self.desk.workshop().pipeline.transcriber.clone();
                    tokio::spawn(async move { transcriber.warm().await });
                }
                if let Some(uploads) = &mut self.uploads {
                    uploads.dismiss(&stamp);
                }
                self.open_line(&stamp).await;
            }
            EarEvent::Audio { samples, .. } => {
                if let Some(live) = &mut self.live {
                    live.push(&stamp.on(&samples));
                }
                self.upload(&stamp, &samples).await;
            }
            EarEvent::Dismissed { .. } => {
                if let Some(uploads) = &mut self.uploads {
                    uploads.dismiss(&stamp);
                }
                if let Some(live) = &mut self.live {
                    live.dismiss(&stamp);
                }
                self.show_partial(&stamp, String::new());
                counter!("talkback_utterances_total", "outcome" => "dismissed").increment(1);
            }
            EarEvent::Lost { at, length } => {
                let lost = self.lost.entry(person).or_insert((at, Duration::ZERO));
                lost.1 += length;
            }
            EarEvent::Utterance(utterance) => self.write_down(stamp.on(utterance)).await,
        }
    }

    pub(super) async fn write_down(&mut self, heard: Stamped<Utterance>) {
        let stamp = heard.stamp().clone();
        self.lost_line(&stamp).await;
        let Some(utterance) = heard.look() else {
            return;
        };
        let times = Times::of(utterance);
        let uploads = self.uploads.as_mut();
        let upload = uploads.and_then(|it| it.take(&stamp, utterance.samples.len()));
        let lost = self.line(&stamp, times, LineKind::Lost, String::new());
        let ticket = self.order.begin(times.start, lost);
        // Those that the live transcriber has are among them.
        if self.order.len() > MAX_IN_FLIGHT {
            counter!("talkback_utterances_total", "outcome" => "overrun").increment(1);
            self.order.missed(ticket);
            self.commit().await;
            return;
        }
        let awaited = Awaited {
            ticket,
            times,
            utterance: heard,
        };
        let awaited = match &mut self.live {
            Some(live) => live.end(awaited),
            None => Some(awaited),
        };
        if let Some(awaited) = awaited {
            self.write(awaited, upload).await;
        }
    }

    /// Uploads what somebody says while they say it, if they may cost more.
    async fn upload(&mut self, stamp: &Stamp, samples: &[f32]) {
        let stands = self.board.stands();
        let Some(uploads) = &mut self.uploads else {
            return;
        };
        if uploads.begins(stamp) {
            let person = stamp.person();
            let permit = if stands && uploads.has_room() {
                self.writer.may_upload(person).await
            } else {
                None
            };
            let briefing = self.briefing().await;
            let books = self.writer.books(person);
            if let Some(uploads) = &mut self.uploads {
                uploads.open(stamp, permit, books, &briefing);
            }
        }
        if let Some(uploads) = &mut self.uploads {
            uploads.push(&stamp.on(samples));
        }
    }

    /// Gives an utterance to a transcriber, whole unless it has been uploaded.
    pub(super) async fn write(&mut self, awaited: Awaited, upload: Option<PaidUpload>) {
        if !self.board.stands() {
            // Nobody would read it.
            self.order.missed(awaited.ticket);
            self.commit().await;
            return;
        }
        let briefing = self.briefing().await;
        let (writer, ticket) = (self.writer.clone(), awaited.ticket);
        let writing = self.writing.spawn(writer.write(awaited, briefing, upload));
        self.tickets.insert(writing.id(), ticket);
    }

    fn show_partial(&self, stamp: &Stamp, text: String) {
        let name = self.name(stamp.person());
        self.board.partial(stamp.on(Partial { name, text }));
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
    pub(super) async fn open_line(&mut self, stamp: &Stamp) {
        let Some(live) = &self.live else {
            return;
        };
        if live.has(stamp) {
            // Whoever listens shall know what the assistant has said meanwhile, and forget it with
            // the line.
            if live.is_idle(stamp) {
                let answered = self.last_answer().await.map(|(message, _)| message);
                if let Some(live) = &mut self.live {
                    live.close_unless(stamp, answered);
                }
            }
            if self.live.as_ref().is_some_and(|live| live.has(stamp)) {
                return;
            }
        }
        if !self.board.stands() {
            return;
        }
        let person = stamp.person();
        let Some(permit) = self.writer.may_listen(person).await else {
            return;
        };
        let briefing = self.briefing().await;
        let books = self.writer.books(person);
        if let Some(live) = &mut self.live {
            live.open(stamp, (permit, books), &briefing);
        }
    }

    /// Nobody is listened to any more while nothing can be shown.
    pub(super) async fn close_lines(&mut self) {
        if let Some(uploads) = &mut self.uploads {
            uploads.close_all();
        }
        let closed = self.live.as_mut().map(Lines::close_all);
        for awaited in closed.into_iter().flatten() {
            self.order.missed(awaited.ticket);
        }
        self.commit().await;
    }

    /// Something came from the live transcriber.
    pub(super) async fn spoken(&mut self, event: LineEvent) {
        let Some(live) = &mut self.live else {
            return;
        };
        match live.heard(event) {
            Spoken::Nothing => {}
            Spoken::Partial(partial) => {
                let stamp = partial.stamp().clone();
                if let Some(text) = partial.open() {
                    self.show_partial(&stamp, text);
                }
            }
            Spoken::Words(awaited, transcript) => {
                self.written(awaited.understood(&transcript)).await;
            }
            Spoken::Failed(failed) => {
                for awaited in failed {
                    self.write(awaited, None).await;
                }
            }
        }
    }

    /// What helps to hear right: names, terms, and what was said before.
    pub(super) async fn briefing(&self) -> Briefing {
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
        let present = self.people.iter().filter(|(_, person)| person.present);
        let names = present
            .filter_map(|(id, person)| Some(self.book.stamp(*id)?.on(person.name.clone())))
            .collect();
        let mut terms: Vec<String> = settings.terms;
        terms.push(self.bot.clone());
        Briefing {
            hints,
            terms,
            names,
            said: self.recent.clone(),
            answered: self.last_answer().await,
        }
    }

    /// What the assistant said last.
    async fn last_answer(&self) -> Option<(u64, Stamped<String>)> {
        let workshop = self.desk.workshop();
        let (consents, store) = (&workshop.consents, &workshop.store);
        let answer = record::last_answer(consents, store, &self.session).await;
        answer.unwrap_or_else(|error| {
            log("nobody knows what was answered last", &error);
            None
        })
    }

    pub(super) async fn written(&mut self, written: Written) {
        let Written {
            ticket,
            times,
            words,
        } = written;
        let stamp = words.stamp().clone();
        let person = stamp.person();
        let lost = self.line(&stamp, times, LineKind::Lost, String::new());
        let line = match words.open() {
            None | Some(Words::Withdrawn) => None,
            Some(Words::Said { text }) => {
                counter!("talkback_utterances_total", "outcome" => "written").increment(1);
                self.told_failing = false;
                self.answer_check(person, Checked::Heard(text.clone()));
                Some(self.line(&stamp, times, LineKind::Speech, text))
            }
            Some(Words::Nothing) => {
                counter!("talkback_utterances_total", "outcome" => "nothing").increment(1);
                self.answer_check(person, Checked::NoWords);
                None
            }
            Some(Words::Failed(error)) => {
                counter!("talkback_utterances_total", "outcome" => "failed").increment(1);
                tracing::warn!(
                    session = self.session.id.0,
                    error = &error as &dyn std::error::Error,
                    "an utterance is not written down"
                );
                if !std::mem::replace(&mut self.told_failing, true) {
                    self.board.remark(Remark::NotWrittenDown);
                }
                Some(lost)
            }
            Some(Words::Spent(verdict)) => {
                counter!("talkback_utterances_total", "outcome" => "spent").increment(1);
                if !self.told_spent.contains(&person) && self.told_spent.len() < MAX_PEOPLE {
                    self.told_spent.push(person);
                    self.board.remark(Remark::Spent { person, verdict });
                }
                Some(lost)
            }
            Some(Words::Ledger(error)) => {
                log("an utterance is not judged", &error);
                Some(lost)
            }
        };
        self.order.done(ticket, line);
        self.commit().await;
    }

    /// Writes into the ledger and shows what is in order.
    pub(super) async fn commit(&mut self) {
        let mut shown = Vec::new();
        let mut asked = Vec::new();
        for line in self.order.ready() {
            // They may have said no while it waited.
            let stamp = line.stamp().clone();
            let Some(mut line) = line.open() else {
                continue;
            };
            line.number = self.next_line;
            match self.keep(&stamp, &line).await {
                Ok(LineKept::Withdrawn) => continue,
                Ok(_) => {}
                Err(error) => log("a line is not kept", &error),
            }
            self.next_line += 1;
            self.show_partial(&stamp, String::new());
            if line.kind == LineKind::Speech {
                let end = Duration::from_millis(line.end_ms);
                let delay = self.clock.now().saturating_sub(end);
                histogram!("talkback_speech_to_line_seconds").record(delay);
                self.delays.entry(line.author).or_default().add(delay);
                if self.recent.len() >= CONTEXT {
                    self.recent.remove(0);
                }
                self.recent.push(stamp.on(said(&line)));
                let people = self.present();
                if let Some(question) = self.asker.meant(&line, self.setup.answers, people) {
                    asked.push(stamp.on((line.clone(), question)));
                }
            }
            shown.push(stamp.on(line));
        }
        if !shown.is_empty() {
            self.board.lines(shown);
        }
        for question in asked {
            self.asker.ask(question);
        }
    }

    async fn keep(&mut self, stamp: &Stamp, line: &Line) -> Result<LineKept, StoreError> {
        let workshop = self.desk.workshop();
        let now = (workshop.clock)();
        let (store, id) = (&workshop.store, self.session.id);
        let kept = store.add_line(id, line, now, &|| stamp.holds()).await?;
        if kept == LineKept::Full {
            tracing::warn!(session = self.session.id.0, "the transcript is full");
            self.full = true;
        }
        Ok(kept)
    }

    /// A line for what was lost of somebody, before they go on.
    pub(super) async fn lost_line(&mut self, stamp: &Stamp) {
        let Some((at, length)) = self.lost.remove(&stamp.person()) else {
            return;
        };
        if length >= WORTH_A_LINE {
            let times = Times::between(at, at + length);
            let line = self.line(stamp, times, LineKind::Lost, String::new());
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
        let times = Times::between(from, to);
        let line = self.line(&Stamp::nobody(), times, LineKind::Deaf, String::new());
        let ticket = self.order.begin(from, line);
        self.order.missed(ticket);
        self.commit().await;
    }

    pub(super) fn line(
        &self,
        stamp: &Stamp,
        times: Times,
        kind: LineKind,
        text: String,
    ) -> Stamped<Line> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let person = stamp.person();
        stamp.on(Line {
            number: 0,
            author: person,
            name: self.name(person),
            start_ms: millis(times.start),
            end_ms: millis(times.end),
            kind,
            text,
        })
    }
}
