//! One speaker: connects when there is speech, sends it, and tells what is heard.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::hearing::{Hearing, Next, SHORTEST, USUAL, Waits};
use super::pace::Pace;
use super::socket::{Address, Socket};
use super::trouble::Trouble;
use super::wire::Message;
use super::{NAME, StreamingSettings};
use crate::speech::live::{LiveInput, LiveLine};
use audio::to_s16;
use net::{ForeignText, RetryPolicy, Tries};

/// Why there is no session any more.
enum Over {
    /// Nobody has said anything for a while, or nobody answers: the end will tell which.
    Quiet,
    /// Nothing more will come, or nobody reads.
    Done,
    Trouble(Trouble),
}

/// What it takes to serve one speaker.
pub(super) struct Speaker {
    pub(super) address: Address,
    pub(super) settings: StreamingSettings,
    pub(super) retry: RetryPolicy,
    pub(super) line: LiveLine,
}

/// Serves a speaker until nothing more will come, or nobody reads.
pub(super) async fn serve(speaker: Speaker) {
    let waits = Waits {
        asked: speaker.settings.answer,
        more: speaker.settings.more,
    };
    let mut work = Work {
        hearing: Hearing::new(NAME, waits),
        tries: speaker.retry.tries(),
        no_more: false,
        speaker,
    };
    while work.waits_for_speech().await {
        if !work.listens().await {
            return;
        }
    }
}

struct Work {
    speaker: Speaker,
    hearing: Hearing,
    tries: Tries,
    /// The speaker's samples have ended.
    no_more: bool,
}

impl Work {
    fn line(&self) -> &LiveLine {
        &self.speaker.line
    }

    fn take_in(&mut self, input: LiveInput) {
        match input {
            LiveInput::Samples { utterance, samples } => {
                let samples = samples.into_iter().map(to_s16);
                self.hearing.samples(utterance, samples);
            }
            LiveInput::End { utterance } => self.hearing.end(utterance),
            LiveInput::Over => self.no_more = true,
        }
    }

    /// Without a session, until there is something to send. False: it is over.
    async fn waits_for_speech(&mut self) -> bool {
        loop {
            while let Some((utterance, transcript)) = self.hearing.complete_without_session() {
                self.line().finish(utterance, transcript);
            }
            if self.hearing.has_backlog() {
                return true;
            }
            if self.no_more {
                return false;
            }
            let input = tokio::select! {
                biased;
                () = self.line().abandoned() => return false,
                input = self.line().take(SHORTEST, USUAL) => input,
            };
            self.take_in(input);
        }
    }

    /// One session after the other, until there is no need for one. False: it is over.
    async fn listens(&mut self) -> bool {
        self.tries = self.speaker.retry.tries();
        loop {
            let over = self.one_session().await;
            self.line().closed();
            let trouble = match over {
                Over::Quiet => return true,
                Over::Done => return false,
                Over::Trouble(trouble) => trouble,
            };
            if self.hearing.is_empty() {
                // Nobody misses it.
                tracing::info!(error = %trouble.net(), "a quiet live session has ended");
                return true;
            }
            let Some(wait) = self.tries.next_wait(trouble.retry()) else {
                tracing::warn!(error = %trouble.net(), "live transcription failed");
                let limit = self.speaker.settings.connect;
                self.line().fail_all(|| trouble.speech(limit));
                self.hearing.forget_all();
                return true;
            };
            tracing::info!(error = %trouble.net(), ?wait, "trying again");
            tokio::select! {
                biased;
                () = self.line().abandoned() => return false,
                () = sleep(wait) => {}
            }
        }
    }

    async fn one_session(&mut self) -> Over {
        let deadline = Instant::now() + self.speaker.settings.connect;
        let mut socket = tokio::select! {
            biased;
            () = self.line().abandoned() => return Over::Done,
            socket = timeout_at(deadline, Socket::connect(&self.speaker.address)) => match socket {
                Ok(Ok(socket)) => socket,
                Ok(Err(trouble)) => return Over::Trouble(trouble),
                Err(_) => return Over::Trouble(Trouble::no_answer()),
            },
        };
        // An open socket is billed.
        self.line().opened();
        let over = tokio::select! {
            biased;
            () = self.line().abandoned() => Ok(Over::Done),
            begun = timeout_at(deadline, socket.begin()) => match begun {
                Ok(Ok(())) => self.session(&mut socket).await,
                Ok(Err(trouble)) => Err(trouble),
                Err(_) => Err(Trouble::no_answer()),
            },
        };
        match over {
            Ok(over) => self.terminates(socket, over).await,
            Err(trouble) => {
                socket.give_up().await;
                Over::Trouble(trouble)
            }
        }
    }

    /// Terminates the session. Only one that ends as it should has heard everything.
    async fn terminates(&mut self, mut socket: Socket, over: Over) -> Over {
        let limit = self.speaker.settings.goodbye;
        let goodbye = timeout(limit, self.says_goodbye(&mut socket)).await;
        // What is billed ends here; the rest is courtesy.
        self.line().closed();
        match goodbye.unwrap_or_else(|_| Err(Trouble::silence())) {
            Ok(()) => {
                self.hearing.session_ends();
                socket.close(limit).await;
                over
            }
            Err(trouble) if matches!(over, Over::Quiet) => Over::Trouble(trouble),
            Err(trouble) => {
                tracing::warn!(error = %trouble.net(), "a live session did not end as it should");
                over
            }
        }
    }

    /// An open session, until it should be terminated.
    async fn session(&mut self, socket: &mut Socket) -> Result<Over, Trouble> {
        for utterance in self.hearing.session_begins() {
            let limit = self.speaker.settings.connect;
            self.line()
                .fail(utterance, Trouble::TooLongAgo.speech(limit));
        }
        let mut pace = Pace::new(Instant::now());
        let mut last_speech = Instant::now();
        let mut last_heard = Instant::now();
        loop {
            // Nothing more is asked for on behalf of nobody.
            if self.line().is_abandoned() {
                return Ok(Over::Done);
            }
            let now = Instant::now();
            if !self.tells(now, last_heard) {
                return Ok(Over::Quiet);
            }
            let next = self.hearing.next(pace.allowed(now), now);
            match next {
                Next::Audio(samples) => {
                    socket.audio(&samples).await?;
                    pace.spend(samples.len());
                    last_speech = Instant::now();
                    continue;
                }
                Next::ForceEndpoint => {
                    socket.force_endpoint().await?;
                    last_speech = Instant::now();
                    continue;
                }
                Next::Later(_) | Next::Nothing => {}
            }
            if self.no_more && self.hearing.is_empty() {
                return Ok(Over::Done);
            }
            let quiet = last_speech + self.speaker.settings.inactivity;
            if now >= quiet {
                return Ok(Over::Quiet);
            }
            let mut wake = self.hearing.due().map_or(quiet, |due| due.min(quiet));
            if let Next::Later(count) = next {
                wake = wake.min(pace.when(count));
            }
            let wants_more = matches!(next, Next::Nothing) && !self.no_more;
            tokio::select! {
                () = self.speaker.line.abandoned() => return Ok(Over::Done),
                message = socket.next() => {
                    if let Some(message) = message? {
                        last_heard = Instant::now();
                        self.hears(&message)?;
                    }
                }
                input = self.speaker.line.take(USUAL, USUAL), if wants_more => {
                    self.take_in(input);
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Tells the words of utterances that are complete. False: words were waited for in vain, and
    /// nothing else came either. Perhaps nothing was said, perhaps nobody listens.
    fn tells(&mut self, now: Instant, last_heard: Instant) -> bool {
        while self.hearing.due().is_some_and(|due| due <= now) {
            let asked = self.hearing.asked_at().unwrap_or(now);
            let waited = now.saturating_duration_since(asked) >= self.speaker.settings.answer;
            if waited && last_heard <= asked {
                return false;
            }
            if let Some((utterance, transcript)) = self.hearing.complete(now) {
                self.line().finish(utterance, transcript);
                self.tries = self.speaker.retry.tries();
            }
        }
        true
    }

    fn hears(&mut self, message: &Message) -> Result<(), Trouble> {
        match message {
            Message::SpeechStarted { timestamp } => {
                if let Some(at) = timestamp {
                    self.hearing.speech_started(*at);
                }
            }
            Message::Turn(turn) => {
                let heard = self.hearing.turn(turn, Instant::now());
                if heard.too_much {
                    return Err(Trouble::Nonsense("more words than anybody can say"));
                }
                if heard.progress {
                    self.tries = self.speaker.retry.tries();
                }
                for (utterance, text) in heard.partials {
                    self.line().partial(utterance, text);
                }
            }
            Message::Warning {
                warning_code,
                warning,
            } => {
                let words = ForeignText::new(warning.as_str().unwrap_or_default());
                let code = warning_code.as_i64().unwrap_or_default();
                if words.speaks_of(&["model"]) {
                    tracing::warn!(code, "the live service warns of ASSEMBLYAI_STREAMING_MODEL");
                } else {
                    tracing::warn!(code, "the live service warns of something");
                }
            }
            // The service itself has ended the session, and closes it next.
            Message::Termination | Message::Begin | Message::Error { .. } | Message::Other => {}
        }
        Ok(())
    }

    /// Says that the session is to end, and hears what is said until then.
    async fn says_goodbye(&mut self, socket: &mut Socket) -> Result<(), Trouble> {
        socket.terminate().await?;
        loop {
            match socket.next().await? {
                Some(Message::Termination) => return Ok(()),
                Some(message) => self.hears(&message)?,
                None => {}
            }
        }
    }
}

/// How much longer than we the service waits before it ends a quiet session by itself.
pub(super) const SERVICE_WAITS: Duration = Duration::from_secs(10);
