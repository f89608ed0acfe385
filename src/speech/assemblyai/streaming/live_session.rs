//! The task behind one speaker's stream: connects when there is speech, sends it, reports results.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::error::StreamingError;
use super::realtime_limiter::RealtimeLimiter;
use super::settings::StreamingSettings;
use super::socket::{StreamingConnectOptions, StreamingSocket};
use super::tracked_utterance::AnswerTimeouts;
use super::utterance_tracker::{
    MESSAGE_SAMPLES, MIN_MESSAGE_SAMPLES, SendAction, UtteranceTracker,
};
use super::wire::StreamingMessage;
use crate::speech::live::{LiveInput, LiveProviderHandle};
use audio::to_s16;
use net::{RedactedText, RetryAttempts, RetryPolicy};

pub(super) const PROVIDER_NAME: &str = "AssemblyAI streaming";

/// How much longer than this program the service waits before it ends an inactive session itself.
pub(super) const SERVER_INACTIVITY_MARGIN: Duration = Duration::from_secs(10);

/// Why a session ended.
enum LiveSessionEnd {
    /// No speech for a while, or no answer to a request; terminating the session shows which.
    Inactive,
    /// No more input will come, or the caller is gone.
    Finished,
    Failed(StreamingError),
}

/// Everything that the task for one speaker needs.
pub(super) struct LiveSessionConfig {
    pub(super) connect_options: StreamingConnectOptions,
    pub(super) settings: StreamingSettings,
    pub(super) retry: RetryPolicy,
    pub(super) provider_handle: LiveProviderHandle,
}

/// Serves one speaker until the input ends or the caller is gone.
pub(super) async fn run_live_session(config: LiveSessionConfig) {
    let timeouts = AnswerTimeouts {
        after_request: config.settings.answer_timeout,
        after_answer: config.settings.more_words_timeout,
    };
    let mut task = LiveSessionTask {
        tracker: UtteranceTracker::new(PROVIDER_NAME, timeouts),
        retry_attempts: config.retry.tries(),
        input_closed: false,
        config,
    };
    while task.wait_for_speech().await {
        if !task.run_sessions().await {
            return;
        }
    }
}

struct LiveSessionTask {
    config: LiveSessionConfig,
    tracker: UtteranceTracker,
    retry_attempts: RetryAttempts,
    /// The input has ended.
    input_closed: bool,
}

impl LiveSessionTask {
    fn provider_handle(&self) -> &LiveProviderHandle {
        &self.config.provider_handle
    }

    fn handle_input(&mut self, input: LiveInput) {
        match input {
            LiveInput::Samples { utterance, samples } => {
                let samples = samples.into_iter().map(to_s16);
                self.tracker.push_samples(utterance, samples);
            }
            LiveInput::End { utterance } => self.tracker.end_utterance(utterance),
            LiveInput::Closed => self.input_closed = true,
        }
    }

    /// Waits, without a session, until there is audio to send. Returns false if the stream is over.
    async fn wait_for_speech(&mut self) -> bool {
        loop {
            while let Some((utterance, transcript)) = self.tracker.take_complete_without_session() {
                self.provider_handle().send_final(utterance, transcript);
            }
            if self.tracker.has_backlog() {
                return true;
            }
            if self.input_closed {
                return false;
            }
            let input = tokio::select! {
                biased;
                () = self.provider_handle().wait_cancelled() => return false,
                input = self.provider_handle().next_input(MIN_MESSAGE_SAMPLES, MESSAGE_SAMPLES) => input,
            };
            self.handle_input(input);
        }
    }

    /// Runs sessions until none is needed. Returns false if the stream is over.
    async fn run_sessions(&mut self) -> bool {
        self.retry_attempts = self.config.retry.tries();
        loop {
            let end = self.run_one_session().await;
            self.provider_handle().mark_session_closed();
            let error = match end {
                LiveSessionEnd::Inactive => return true,
                LiveSessionEnd::Finished => return false,
                LiveSessionEnd::Failed(error) => error,
            };
            if self.tracker.is_empty() {
                // No utterance was waiting for this session.
                tracing::info!(error = %error.to_net_error(), "an idle live session has ended");
                return true;
            }
            let Some(wait) = self.retry_attempts.next_delay(error.retry_advice()) else {
                tracing::warn!(error = %error.to_net_error(), "live transcription failed");
                let limit = self.config.settings.connect_timeout;
                self.provider_handle()
                    .fail_all(|| error.to_speech_error(limit));
                self.tracker.clear();
                return true;
            };
            tracing::info!(error = %error.to_net_error(), ?wait, "trying again");
            tokio::select! {
                biased;
                () = self.provider_handle().wait_cancelled() => return false,
                () = sleep(wait) => {}
            }
        }
    }

    async fn run_one_session(&mut self) -> LiveSessionEnd {
        let deadline = Instant::now() + self.config.settings.connect_timeout;
        let mut socket = tokio::select! {
            biased;
            () = self.provider_handle().wait_cancelled() => return LiveSessionEnd::Finished,
            socket = timeout_at(deadline, StreamingSocket::connect(&self.config.connect_options)) => match socket {
                Ok(Ok(socket)) => socket,
                Ok(Err(error)) => return LiveSessionEnd::Failed(error),
                Err(_) => return LiveSessionEnd::Failed(StreamingError::connect_timed_out()),
            },
        };
        // The provider bills for as long as the socket is open.
        self.provider_handle().mark_session_open();
        let end = tokio::select! {
            biased;
            () = self.provider_handle().wait_cancelled() => Ok(LiveSessionEnd::Finished),
            begun = timeout_at(deadline, socket.wait_for_begin()) => match begun {
                Ok(Ok(())) => self.drive_session(&mut socket).await,
                Ok(Err(error)) => Err(error),
                Err(_) => Err(StreamingError::connect_timed_out()),
            },
        };
        match end {
            Ok(end) => self.terminate_session(socket, end).await,
            Err(error) => {
                socket.abort().await;
                LiveSessionEnd::Failed(error)
            }
        }
    }

    /// Terminates the session. Only an orderly end means that all audio was processed.
    async fn terminate_session(
        &mut self,
        mut socket: StreamingSocket,
        end: LiveSessionEnd,
    ) -> LiveSessionEnd {
        let limit = self.config.settings.terminate_timeout;
        let drained = timeout(limit, self.drain_until_termination(&mut socket)).await;
        // Billing ends here; a clean close only follows the protocol.
        self.provider_handle().mark_session_closed();
        match drained.unwrap_or_else(|_| Err(StreamingError::unresponsive())) {
            Ok(()) => {
                self.tracker.end_session();
                socket.close(limit).await;
                end
            }
            Err(error) if matches!(end, LiveSessionEnd::Inactive) => LiveSessionEnd::Failed(error),
            Err(error) => {
                tracing::warn!(error = %error.to_net_error(), "a live session did not end properly");
                end
            }
        }
    }

    /// Drives an open session until it should be terminated.
    async fn drive_session(
        &mut self,
        socket: &mut StreamingSocket,
    ) -> Result<LiveSessionEnd, StreamingError> {
        for utterance in self.tracker.begin_session() {
            let limit = self.config.settings.connect_timeout;
            self.provider_handle().send_failure(
                utterance,
                StreamingError::AudioDiscarded.to_speech_error(limit),
            );
        }
        let mut limiter = RealtimeLimiter::new(Instant::now());
        let mut last_sent_at = Instant::now();
        let mut last_message_at = Instant::now();
        loop {
            // Request nothing more once the caller is gone.
            if self.provider_handle().is_cancelled() {
                return Ok(LiveSessionEnd::Finished);
            }
            let now = Instant::now();
            if !self.report_complete(now, last_message_at) {
                return Ok(LiveSessionEnd::Inactive);
            }
            let next = self
                .tracker
                .next_action(limiter.available_samples(now), now);
            match next {
                SendAction::Audio(samples) => {
                    socket.send_audio(&samples).await?;
                    limiter.spend(samples.len());
                    last_sent_at = Instant::now();
                    continue;
                }
                SendAction::ForceEndpoint => {
                    socket.send_force_endpoint().await?;
                    last_sent_at = Instant::now();
                    continue;
                }
                SendAction::WaitForAllowance(_) | SendAction::Idle => {}
            }
            if self.input_closed && self.tracker.is_empty() {
                return Ok(LiveSessionEnd::Finished);
            }
            let inactive_at = last_sent_at + self.config.settings.inactivity_timeout;
            if now >= inactive_at {
                return Ok(LiveSessionEnd::Inactive);
            }
            let mut wake_at = self
                .tracker
                .next_deadline()
                .map_or(inactive_at, |due| due.min(inactive_at));
            if let SendAction::WaitForAllowance(count) = next {
                wake_at = wake_at.min(limiter.available_at(count));
            }
            let wants_input = matches!(next, SendAction::Idle) && !self.input_closed;
            tokio::select! {
                () = self.config.provider_handle.wait_cancelled() => return Ok(LiveSessionEnd::Finished),
                message = socket.next_message() => {
                    if let Some(message) = message? {
                        last_message_at = Instant::now();
                        self.handle_message(&message)?;
                    }
                }
                input = self.config.provider_handle.next_input(MESSAGE_SAMPLES, MESSAGE_SAMPLES), if wants_input => {
                    self.handle_input(input);
                }
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Reports the utterances that are complete. Returns false if a request timed out and no other
    /// message came either: there may have been no speech, or the service may be dead.
    fn report_complete(&mut self, now: Instant, last_message_at: Instant) -> bool {
        while self.tracker.next_deadline().is_some_and(|due| due <= now) {
            let requested_at = self.tracker.endpoint_requested_at().unwrap_or(now);
            let timed_out =
                now.saturating_duration_since(requested_at) >= self.config.settings.answer_timeout;
            if timed_out && last_message_at <= requested_at {
                return false;
            }
            if let Some((utterance, transcript)) = self.tracker.take_complete(now) {
                self.provider_handle().send_final(utterance, transcript);
                self.retry_attempts = self.config.retry.tries();
            }
        }
        true
    }

    fn handle_message(&mut self, message: &StreamingMessage) -> Result<(), StreamingError> {
        match message {
            StreamingMessage::SpeechStarted { timestamp } => {
                if let Some(at) = timestamp {
                    self.tracker.handle_speech_started(*at);
                }
            }
            StreamingMessage::Turn(turn) => {
                let update = self.tracker.handle_turn(turn, Instant::now());
                if update.is_too_long {
                    return Err(StreamingError::ProtocolViolation(
                        "too much text in one utterance",
                    ));
                }
                if update.progress {
                    self.retry_attempts = self.config.retry.tries();
                }
                for (utterance, text) in update.partials {
                    self.provider_handle().send_partial(utterance, text);
                }
            }
            StreamingMessage::Warning {
                warning_code,
                warning,
            } => {
                let message = RedactedText::new(warning.as_str().unwrap_or_default());
                let code = warning_code.as_i64().unwrap_or_default();
                if message.contains_any(&["model"]) {
                    tracing::warn!(
                        code,
                        "AssemblyAI streaming warns about ASSEMBLYAI_STREAMING_MODEL"
                    );
                } else {
                    tracing::warn!(code, "AssemblyAI streaming sent a warning");
                }
            }
            // The service has ended the session itself, and closes it next.
            StreamingMessage::Termination
            | StreamingMessage::Begin
            | StreamingMessage::Error { .. }
            | StreamingMessage::Other => {}
        }
        Ok(())
    }

    /// Requests the end of the session, and handles messages until it is confirmed.
    async fn drain_until_termination(
        &mut self,
        socket: &mut StreamingSocket,
    ) -> Result<(), StreamingError> {
        socket.send_terminate().await?;
        loop {
            match socket.next_message().await? {
                Some(StreamingMessage::Termination) => return Ok(()),
                Some(message) => self.handle_message(&message)?,
                None => {}
            }
        }
    }
}
