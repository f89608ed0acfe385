//! AssemblyAI: Sync, pre-recorded and streaming.

mod activity_log;
mod errors;
mod host;
mod jobs;
mod media;
mod prerecorded;
mod streaming;
mod subtitles;
mod sync;
mod sync_config;
mod sync_live;
mod transcript_params;
mod transcript_script;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fault::{Fault, FaultQueue};
use crate::recorder::{RecordedRequest, Recorder, Server, hex_sha256};

pub(crate) use host::{AssemblyAiHost, Surface};
use jobs::JobStore;
pub use streaming::{StreamingSession, StreamingSessionEnd};
use streaming::{StreamingSessionLog, StreamingTokens};
use sync_live::SyncLiveUploadLog;
pub use sync_live::{SyncLiveUpload, SyncLiveUploadEnd};
use transcript_script::{ScriptedSpeech, TranscriptScript};

/// Where a fault of the AssemblyAI server strikes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum AssemblyAiEndpoint {
    /// `POST /v1/transcribe`, also known as `/transcribe`.
    Sync,
    /// `POST /v1/transcribe/live`, also known as `/v1/transcribe/stream`.
    SyncLive,
    /// `GET /v1/warm`.
    Warm,
    /// `POST /v2/upload`.
    Upload,
    /// `POST /v2/transcript`.
    Transcript,
    /// `GET /v2/transcript/{id}`.
    Poll,
    /// `DELETE /v2/transcript/{id}`.
    Delete,
    /// `GET /v2/transcript`.
    List,
    /// `GET /v2/transcript/{id}/srt`, `/vtt`, `/sentences`, `/paragraphs`.
    Export,
    /// `GET /v3/ws`, the live session.
    Streaming,
    /// `GET /v3/token`, a key for one live session.
    Token,
}

/// The AssemblyAI server of a sandbox. Cheap to clone. For the EU host, start a second sandbox.
#[derive(Clone, Debug)]
pub struct AssemblyAi {
    state: Arc<AssemblyAiState>,
    recorder: Recorder,
    authorities: [String; 3],
}

#[derive(Debug)]
pub(crate) struct AssemblyAiState {
    script: Mutex<TranscriptScript>,
    store: Mutex<JobStore>,
    faults: FaultQueue<AssemblyAiEndpoint>,
    sessions: StreamingSessionLog,
    live_uploads: SyncLiveUploadLog,
    tokens: Mutex<StreamingTokens>,
    ids: AtomicU64,
    billed_ms: AtomicU64,
}

impl AssemblyAiState {
    pub(crate) fn new(key: &str) -> Self {
        Self {
            script: Mutex::new(TranscriptScript::new(key)),
            store: Mutex::default(),
            faults: FaultQueue::default(),
            sessions: StreamingSessionLog::default(),
            live_uploads: SyncLiveUploadLog::default(),
            tokens: Mutex::default(),
            ids: AtomicU64::new(0),
            billed_ms: AtomicU64::new(0),
        }
    }

    fn script(&self) -> MutexGuard<'_, TranscriptScript> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, StreamingTokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bill(&self, audio: Duration) {
        let ms = u64::try_from(audio.as_millis()).unwrap_or(u64::MAX);
        self.billed_ms.fetch_add(ms, Ordering::Relaxed);
    }

    fn store(&self) -> MutexGuard<'_, JobStore> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id in the form of a UUID.
    fn next_id(&self) -> String {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        let hash = hex_sha256(&number.to_le_bytes());
        format!(
            "{}-{}-4{}-8{}-{}",
            &hash[..8],
            &hash[8..12],
            &hash[13..16],
            &hash[17..20],
            &hash[20..32]
        )
    }

    /// The time as the provider writes it, without a zone.
    fn timestamp(&self) -> String {
        let count = self.ids.load(Ordering::Relaxed);
        format!(
            "2026-10-01T12:00:{:02}.{:06}",
            count % 60,
            count % 1_000_000
        )
    }
}

impl AssemblyAi {
    /// `authorities`: host and port of Sync, pre-recorded and streaming.
    pub(crate) fn new(
        state: Arc<AssemblyAiState>,
        recorder: Recorder,
        authorities: [String; 3],
    ) -> Self {
        Self {
            state,
            recorder,
            authorities,
        }
    }

    /// The base URL of Sync, in place of `https://sync.assemblyai.com`.
    pub fn sync_url(&self) -> String {
        format!("http://{}", self.authorities[0])
    }

    /// The base URL of pre-recorded, in place of `https://api.assemblyai.com`.
    pub fn api_url(&self) -> String {
        format!("http://{}", self.authorities[1])
    }

    /// The base URL of streaming, in place of `wss://streaming.assemblyai.com`.
    pub fn streaming_url(&self) -> String {
        format!("ws://{}", self.authorities[2])
    }

    /// The key that is accepted.
    pub fn key(&self) -> String {
        self.state.script().key.clone()
    }

    /// What is said in the next clip and all later ones, until changed. The words get plausible
    /// times. Empty: nothing is said.
    ///
    /// In a live session, each turn says this.
    pub fn set_transcript(&self, text: &str) {
        let mut script = self.state.script();
        script.queued.clear();
        script.speech = ScriptedSpeech::from_text(text);
    }

    /// What is said in one clip after the other; after the last one, what [`set_transcript`](Self::set_transcript)
    /// says.
    pub fn queue_transcripts<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) {
        let said = texts
            .into_iter()
            .map(|text| ScriptedSpeech::from_text(text.as_ref()));
        self.state.script().queued.extend(said);
    }

    /// What several people say in the next clip and all later ones: name (`"A"`, `"B"`) and text,
    /// in order. The names are told to those who ask with `speaker_labels`.
    pub fn set_speaker_transcript<N, S>(&self, lines: impl IntoIterator<Item = (N, S)>)
    where
        N: Into<String>,
        S: Into<String>,
    {
        let lines = lines
            .into_iter()
            .map(|(name, text)| (Some(name.into()), text.into()))
            .collect();
        let mut script = self.state.script();
        script.queued.clear();
        script.speech = ScriptedSpeech { lines };
    }

    /// The language that is detected, ISO 639-1.
    pub fn set_language(&self, code: &str) {
        self.state.script().language = code.to_owned();
    }

    /// The first looks at a job that find it unfinished: `queued`, then `processing`.
    pub fn set_polls_before_done(&self, polls: u32) {
        self.state.script().polls_before_done = polls;
    }

    /// How long a Sync request or a job takes. From 30 s on, Sync gives up with 504.
    pub fn set_processing_time(&self, time: Duration) {
        self.state.script().processing_time = time;
    }

    /// How long the last piece of a live upload takes. Otherwise as long as [`set_processing_time`](Self::set_processing_time)
    /// says of everything.
    pub fn set_last_chunk_processing_time(&self, time: Duration) {
        self.state.script().last_chunk_processing_time = Some(time);
    }

    /// A live upload that brings nothing for so long is ended with 408. Otherwise 10 s.
    pub fn set_upload_idle_timeout(&self, time: Duration) {
        self.state.script().upload_idle_timeout = time;
    }

    /// The live uploads so far.
    pub fn live_uploads(&self) -> Vec<SyncLiveUpload> {
        self.state.live_uploads.entries()
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all live
    /// uploads there are.
    pub async fn wait_for_live_uploads(
        &self,
        enough: impl Fn(&[SyncLiveUpload]) -> bool,
    ) -> Vec<SyncLiveUpload> {
        self.state.live_uploads.wait_until(enough).await
    }

    /// How long an uploaded file lasts. Otherwise it is read from a WAV or Ogg file, and guessed
    /// from the size of others.
    pub fn set_clip_duration(&self, time: Duration) {
        self.state.script().clip_duration = Some(time);
    }

    /// Sync tells its errors in the older forms from now on, `{error_code, message}` and `{detail}`,
    /// instead of as RFC 9457 problems (`{status, title, detail}`).
    pub fn use_legacy_errors(&self) {
        self.state.script().use_rfc9457_errors = false;
    }

    /// Jobs say that this model was at work, as the service does once all that are asked for are
    /// retired.
    pub fn set_model_used(&self, model: &str) {
        self.state.script().model_used = Some(model.to_owned());
    }

    /// Live sessions refuse audio that comes faster than it is spoken, with close code 3007, as
    /// outside. Off at first, so that tests need not wait.
    pub fn enforce_real_time(&self) {
        self.state.script().real_time_only = true;
    }

    /// A live session that has set an `inactivity_timeout` ends after this time instead.
    pub fn set_inactivity_timeout(&self, time: Duration) {
        self.state.script().inactivity_timeout = Some(time);
    }

    /// Live sessions that are asked for `session_heartbeat` say `Heartbeat` when nothing has happened
    /// for this long.
    pub fn set_heartbeat_interval(&self, time: Duration) {
        self.state.script().heartbeat_interval = Some(time);
    }

    /// The live sessions so far.
    pub fn streaming_sessions(&self) -> Vec<StreamingSession> {
        self.state.sessions.entries()
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all
    /// sessions there are.
    pub async fn wait_for_streaming_sessions(
        &self,
        enough: impl Fn(&[StreamingSession]) -> bool,
    ) -> Vec<StreamingSession> {
        self.state.sessions.wait_until(enough).await
    }

    /// How much recording is billed so far: what came whole and was not refused, whether or not
    /// anybody waited for its words. Of a live upload that broke off, what had come. Sync and
    /// pre-recorded.
    pub fn billed_audio(&self) -> Duration {
        Duration::from_millis(self.state.billed_ms.load(Ordering::Relaxed))
    }

    /// For how long live sessions have been open so far, which is what is billed of them.
    pub fn billed_streaming(&self) -> Duration {
        self.streaming_sessions()
            .iter()
            .map(StreamingSession::open_duration)
            .sum()
    }

    /// Queues a fault.
    pub fn add_fault(&self, endpoint: AssemblyAiEndpoint, fault: Fault) {
        self.state.faults.add(endpoint, fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// How many uploaded files have not been deleted.
    pub fn stored_uploads(&self) -> usize {
        self.state.store().uploads.len()
    }

    /// How many transcripts have not been deleted.
    pub fn stored_transcripts(&self) -> usize {
        let store = self.state.store();
        store.jobs.values().filter(|job| !job.is_deleted).count()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.recorder.requests(Some(Server::AssemblyAi))
    }

    /// Waits for this many requests, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all there
    /// are.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<RecordedRequest> {
        self.wait_until(|requests| requests.len() >= count).await
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all
    /// requests there are.
    pub async fn wait_until(
        &self,
        enough: impl Fn(&[RecordedRequest]) -> bool,
    ) -> Vec<RecordedRequest> {
        self.recorder
            .wait_until(Some(Server::AssemblyAi), enough)
            .await
    }
}
