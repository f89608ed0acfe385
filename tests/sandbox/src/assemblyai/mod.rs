//! AssemblyAI: Sync, pre-recorded and streaming.

mod errors;
mod jobs;
mod media;
mod params;
mod prerecorded;
mod script;
mod streaming;
mod subtitles;
mod sync;
mod sync_config;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};

use crate::answer::Answer;
use crate::exchange::{Provider, Request};
use crate::fault::{Fault, Faults};
use crate::recorder::{Recorded, Recorder, Server, hex_sha256};

use jobs::Store;
use script::{Said, Script};
use streaming::Sessions;
pub use streaming::{LiveSession, SessionEnd};

/// Where a fault of the AssemblyAI server strikes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /v1/transcribe`.
    Sync,
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
}

/// Which of the provider's hosts a socket stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Surface {
    Sync,
    Api,
    Streaming,
    /// All three on one port.
    All,
}

/// The AssemblyAI server of a sandbox. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AssemblyAi {
    state: Arc<State>,
    recorder: Recorder,
    authorities: [String; 3],
}

#[derive(Debug)]
pub(crate) struct State {
    script: Mutex<Script>,
    store: Mutex<Store>,
    faults: Faults<Endpoint>,
    sessions: Sessions,
    ids: AtomicU64,
}

impl State {
    pub(crate) fn new(key: &str) -> Self {
        Self {
            script: Mutex::new(Script::new(key)),
            store: Mutex::default(),
            faults: Faults::default(),
            sessions: Sessions::default(),
            ids: AtomicU64::new(0),
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
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
    pub(crate) fn new(state: Arc<State>, recorder: Recorder, authorities: [String; 3]) -> Self {
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
    pub fn hears(&self, text: &str) {
        let mut script = self.state.script();
        script.in_turn.clear();
        script.said = Said::text(text);
    }

    /// What is said in one clip after the other; after the last one, what [`hears`](Self::hears)
    /// says.
    pub fn hears_in_turn<S: AsRef<str>>(&self, texts: impl IntoIterator<Item = S>) {
        let said = texts.into_iter().map(|text| Said::text(text.as_ref()));
        self.state.script().in_turn.extend(said);
    }

    /// What several people say in the next clip and all later ones: name (`"A"`, `"B"`) and text,
    /// in order. The names are told to those who ask with `speaker_labels`.
    pub fn hears_speakers<N, S>(&self, lines: impl IntoIterator<Item = (N, S)>)
    where
        N: Into<String>,
        S: Into<String>,
    {
        let lines = lines
            .into_iter()
            .map(|(name, text)| (Some(name.into()), text.into()))
            .collect();
        let mut script = self.state.script();
        script.in_turn.clear();
        script.said = Said { lines };
    }

    /// The language that is detected, ISO 639-1.
    pub fn language(&self, code: &str) {
        self.state.script().language = code.to_owned();
    }

    /// The first looks at a job that find it unfinished: `queued`, then `processing`.
    pub fn polls_before_done(&self, polls: u32) {
        self.state.script().polls_before_done = polls;
    }

    /// How long a Sync request or a job takes. From 30 s on, Sync gives up with 504.
    pub fn takes(&self, time: Duration) {
        self.state.script().takes = time;
    }

    /// How long an uploaded file lasts. Otherwise it is read from a WAV or Ogg file, and guessed
    /// from the size of others.
    pub fn clip_lasts(&self, time: Duration) {
        self.state.script().lasts = Some(time);
    }

    /// Sync tells its errors as RFC 9457 problems (`{status, title, detail}`) from now on, instead
    /// of `{error_code, message}` and `{detail}`.
    pub fn errors_as_problems(&self) {
        self.state.script().problems = true;
    }

    /// Live sessions refuse audio that comes faster than it is spoken, with close code 3007, as
    /// outside. Off at first, so that tests need not wait.
    pub fn in_real_time_only(&self) {
        self.state.script().real_time_only = true;
    }

    /// A live session that has set an `inactivity_timeout` ends after this time instead.
    pub fn inactive_after(&self, time: Duration) {
        self.state.script().inactivity = Some(time);
    }

    /// Live sessions say `Heartbeat` when nothing has happened for this long.
    pub fn heartbeat_every(&self, time: Duration) {
        self.state.script().heartbeat = Some(time);
    }

    /// The live sessions so far.
    pub fn sessions(&self) -> Vec<LiveSession> {
        self.state.sessions.all()
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all
    /// sessions there are.
    pub async fn wait_for_sessions(
        &self,
        enough: impl Fn(&[LiveSession]) -> bool,
    ) -> Vec<LiveSession> {
        self.state.sessions.wait_until(enough).await
    }

    /// Queues a fault.
    pub fn fault(&self, endpoint: Endpoint, fault: Fault) {
        self.state.faults.add(endpoint, fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// How many uploaded files have not been deleted.
    pub fn uploads_kept(&self) -> usize {
        self.state.store().uploads.len()
    }

    /// How many transcripts have not been deleted.
    pub fn transcripts_kept(&self) -> usize {
        let store = self.state.store();
        store.jobs.values().filter(|job| !job.deleted).count()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.recorder.requests(Some(Server::AssemblyAi))
    }

    /// Waits for this many requests, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all there
    /// are.
    pub async fn wait_for_requests(&self, count: usize) -> Vec<Recorded> {
        self.wait_until(|requests| requests.len() >= count).await
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`](crate::MAX_WAIT), and returns all
    /// requests there are.
    pub async fn wait_until(&self, enough: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
        self.recorder
            .wait_until(Some(Server::AssemblyAi), enough)
            .await
    }
}

/// One of the provider's hosts.
#[derive(Debug)]
pub(crate) struct Host {
    state: Arc<State>,
    surface: Surface,
}

impl Host {
    pub(crate) fn new(state: Arc<State>, surface: Surface) -> Self {
        Self { state, surface }
    }

    fn check_key(&self, endpoint: Endpoint, request: &Request) -> Result<(), Answer> {
        let script = self.state.script();
        if request.header("authorization") == Some(&script.key) {
            return Ok(());
        }
        let problem = script.problems;
        Err(match endpoint {
            Endpoint::Sync => errors::published_sync(StatusCode::UNAUTHORIZED, None, None, problem),
            _ => errors::published_api(StatusCode::UNAUTHORIZED, None),
        })
    }
}

fn find(surface: Surface, method: &Method, path: &str) -> Result<Endpoint, StatusCode> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let (host, allowed): (Surface, &[(Method, Endpoint)]) = match segments.as_slice() {
        ["v1", "transcribe"] => (Surface::Sync, &[(Method::POST, Endpoint::Sync)]),
        ["v1", "warm"] => (Surface::Sync, &[(Method::GET, Endpoint::Warm)]),
        ["v2", "upload"] => (Surface::Api, &[(Method::POST, Endpoint::Upload)]),
        ["v2", "transcript"] => (
            Surface::Api,
            &[
                (Method::POST, Endpoint::Transcript),
                (Method::GET, Endpoint::List),
            ],
        ),
        ["v2", "transcript", _] => (
            Surface::Api,
            &[
                (Method::GET, Endpoint::Poll),
                (Method::DELETE, Endpoint::Delete),
            ],
        ),
        [
            "v2",
            "transcript",
            _,
            "srt" | "vtt" | "sentences" | "paragraphs",
        ] => (Surface::Api, &[(Method::GET, Endpoint::Export)]),
        ["v3", "ws"] => (Surface::Streaming, &[(Method::GET, Endpoint::Streaming)]),
        _ => return Err(StatusCode::NOT_FOUND),
    };
    if surface != Surface::All && surface != host {
        return Err(StatusCode::NOT_FOUND);
    }
    allowed
        .iter()
        .find(|(allowed, _)| allowed == method)
        .map(|(_, endpoint)| *endpoint)
        .ok_or(StatusCode::METHOD_NOT_ALLOWED)
}

impl Provider for Host {
    type Endpoint = Endpoint;

    const SERVER: Server = Server::AssemblyAi;

    fn route(&self, method: &Method, path: &str) -> Result<Endpoint, StatusCode> {
        find(self.surface, method, path)
    }

    fn faults(&self) -> &Faults<Endpoint> {
        &self.state.faults
    }

    fn error(
        &self,
        endpoint: Option<Endpoint>,
        status: StatusCode,
        code: Option<&str>,
        message: Option<&str>,
    ) -> Answer {
        let sync = match endpoint {
            Some(endpoint) => matches!(endpoint, Endpoint::Sync | Endpoint::Warm),
            None => self.surface == Surface::Sync,
        };
        if sync {
            errors::published_sync(status, code, message, self.state.script().problems)
        } else {
            errors::published_api(status, message)
        }
    }

    async fn answer(&self, endpoint: Endpoint, request: Request, fault: &Fault) -> Answer {
        // Sync is warmed up by anybody; a live session checks the key once the socket is open.
        if !matches!(endpoint, Endpoint::Streaming | Endpoint::Warm)
            && let Err(refused) = self.check_key(endpoint, &request)
        {
            return refused;
        }
        let state = &*self.state;
        match endpoint {
            Endpoint::Sync => sync::answer(state, &request).await,
            Endpoint::Upload => prerecorded::upload(state, &request),
            Endpoint::Transcript => prerecorded::create(state, &request, fault),
            Endpoint::Poll => prerecorded::get(state, &request, fault),
            Endpoint::Delete => prerecorded::delete(state, &request),
            Endpoint::List => prerecorded::list(state, &request),
            Endpoint::Export => prerecorded::export(state, &request),
            Endpoint::Streaming => streaming::answer(&self.state, request, fault).await,
            Endpoint::Warm => Answer::ok(&serde_json::json!({"status": "ok"})),
        }
    }
}
