//! Discord: REST and gateway, version 10, voice, and the people who use it.
//!
//! Faithful as far as bots go that read and write messages and answer commands: what the real one
//! refuses is refused, limits are real limits, sessions are resumed and content is withheld. The
//! doors: plain HTTP ([`Discord::http_url`]) as a proxy for REST, TLS under Discord's own names
//! ([`Discord::tls_addr`], [`Discord::authority_pem`]), and a proxy that leads there
//! ([`Discord::proxy_url`]), through which an unchanged program takes this for the real Discord.

mod cdn;
mod commands;
mod compression;
mod errors;
mod gateway;
mod handles;
mod interactions;
mod messages;
mod rate_limits;
mod rest_api;
mod tls_proxy;
mod voice;
mod webhooks;
mod world;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::fault::Fault;
use crate::http_server::serve;
use crate::recorder::{MAX_WAIT, RecordedRequest, Recorder, Server};

pub use handles::{Channel, Guild, InteractionResponse, Message, TestUser};
pub use rest_api::DiscordEndpoint;
pub(crate) use rest_api::DiscordState;
pub use voice::{
    ExternalSender, ForwardedPacket, OngoingSpeech, OpenMic, VoiceClient, VoiceConnectionInfo,
    VoiceNetwork, opus_packets,
};
pub use webhooks::Webhook;

/// Discord. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Discord {
    state: Arc<DiscordState>,
    recorder: Recorder,
    http_addr: SocketAddr,
    tls_addr: SocketAddr,
    proxy_addr: SocketAddr,
    authority_pem: Arc<str>,
}

/// The listeners, until somebody serves them.
pub(crate) struct DiscordListeners {
    http: TcpListener,
    tls: TcpListener,
    proxy: TcpListener,
    gateway: TcpListener,
    /// The gateway behind TLS, for those who know it by its name.
    tls_gateway: TcpListener,
    voice: voice::VoiceListeners,
    certificate: tls_proxy::TlsCertificate,
}

impl Discord {
    pub(crate) fn bind(
        state: Arc<DiscordState>,
        recorder: Recorder,
        listen: impl Fn() -> std::io::Result<TcpListener>,
    ) -> std::io::Result<(Self, DiscordListeners)> {
        let doors = DiscordListeners {
            http: listen()?,
            tls: listen()?,
            proxy: listen()?,
            gateway: listen()?,
            tls_gateway: listen()?,
            voice: state.voice.bind(listen()?)?,
            certificate: tls_proxy::TlsCertificate::new(),
        };
        let gateway = format!("ws://{}", doors.gateway.local_addr()?);
        *state
            .gateway_url
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = gateway;
        let discord = Self {
            state,
            recorder,
            http_addr: doors.http.local_addr()?,
            tls_addr: doors.tls.local_addr()?,
            proxy_addr: doors.proxy.local_addr()?,
            authority_pem: doors.certificate.authority_pem.as_str().into(),
        };
        Ok((discord, doors))
    }

    /// The bot's token.
    pub fn token(&self) -> String {
        self.state.world().token.clone()
    }

    /// The bot's user.
    pub fn bot_id(&self) -> u64 {
        self.state.world().bot_id
    }

    /// REST without TLS and without limits of its own, as a proxy for bots offers it.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http_addr)
    }

    /// REST and files under their own names.
    pub fn tls_addr(&self) -> SocketAddr {
        self.tls_addr
    }

    /// The certificate of the authority that vouches for those names.
    pub fn authority_pem(&self) -> String {
        self.authority_pem.to_string()
    }

    /// A proxy for HTTPS that leads there.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy_addr)
    }

    /// A server that the bot is in.
    pub fn add_guild(&self, name: &str) -> Guild {
        let id = self.state.world().add_guild(name);
        let value = self.state.world().guild_json(id).unwrap_or_default();
        self.state.dispatch("GUILD_CREATE", Some(id), &value);
        Guild::new(Arc::clone(&self.state), id)
    }

    /// So many servers more, with a channel each. The bot learns of them when it connects.
    pub fn add_guilds(&self, count: usize) {
        for number in 0..count {
            let id = self.state.world().add_guild(&format!("Server {number}"));
            Guild::new(Arc::clone(&self.state), id).add_text_channel("general");
        }
    }

    /// How many shards the bot is told to have.
    pub fn set_recommended_shards(&self, count: u32) {
        self.state.world().recommended_shards = count;
    }

    /// The gateway tells who sits where, and not what they are called.
    pub fn hide_voice_members(&self) {
        self.state.world().voice_members_hidden = true;
    }

    /// How many sessions may still be begun today, as the bot is told.
    pub fn set_session_starts_left(&self, count: u32) {
        self.state.world().session_starts_left = count;
    }

    /// Whether the application has been given the message content intent: without it, who asks for
    /// it is closed with 4014.
    pub fn allow_message_content(&self, allowed: bool) {
        let mut world = self.state.world();
        world.message_content_allowed = allowed;
        world.message_content_flagged = allowed;
    }

    /// The intent is refused although the application says that it has it.
    pub fn refuse_message_content(&self) {
        self.state.world().message_content_allowed = false;
    }

    /// The token is no longer valid.
    pub fn reset_token(&self) {
        self.state.world().token = "another.token.now".to_owned();
    }

    /// No request is refused for coming too soon.
    pub fn disable_rate_limits(&self) {
        let mut limits = self
            .state
            .limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        limits.disabled = true;
    }

    /// How many requests were refused for coming too soon.
    pub fn rate_limited_requests(&self) -> usize {
        let limits = self
            .state
            .limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        limits.refused_requests
    }

    /// Queues a fault.
    pub fn add_fault(&self, endpoint: DiscordEndpoint, fault: Fault) {
        self.state.faults.add(endpoint, fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// How long after an interaction the first response may come.
    pub fn set_interaction_deadline(&self, limit: Duration) {
        self.state.world().interaction_deadline = limit;
    }

    /// How long an interaction's token lives.
    pub fn set_interaction_token_lifetime(&self, life: Duration) {
        self.state.world().interaction_token_lifetime = life;
    }

    /// How long a nonce is remembered.
    pub fn set_nonce_lifetime(&self, life: Duration) {
        self.state.world().nonce_lifetime = life;
    }

    /// Links to files that have been given out so far are dead; new ones are good.
    pub fn expire_links(&self) {
        let mut world = self.state.world();
        let dead = cdn::unix_now() + world.link_lifetime.as_secs() + 1;
        world.link_lifetime += Duration::from_secs(10);
        let messages = world.messages.values_mut();
        for attached in messages.flat_map(|it| &mut it.attachments) {
            attached.links_expired_before = dead;
        }
        for attached in world.command_attachments.values_mut() {
            attached.links_expired_before = dead;
        }
    }

    /// All connections to the gateway break.
    pub fn drop_gateway_connections(&self) {
        self.state
            .sessions()
            .broadcast(|| gateway::GatewayOutput::Drop);
    }

    /// The gateway asks for a reconnect.
    pub fn request_reconnect(&self) {
        let text = serde_json::json!({"op": 7, "d": null}).to_string();
        self.state
            .sessions()
            .broadcast(|| gateway::GatewayOutput::Text(text.clone()));
    }

    /// The gateway closes all connections with this code.
    pub fn close_gateway(&self, code: u16) {
        self.state
            .sessions()
            .broadcast(|| gateway::GatewayOutput::Close(code));
    }

    /// The gateway forgets all sessions: who wants to resume must begin anew.
    pub fn invalidate_sessions(&self) {
        let mut sessions = self.state.sessions();
        let text = serde_json::json!({"op": 9, "d": false}).to_string();
        sessions.broadcast(|| gateway::GatewayOutput::Text(text.clone()));
        sessions.invalidate_all();
    }

    /// Whatever is told is changed before it is: `alter` gets the name of the event, or of the
    /// [`DiscordEndpoint`], and what is told. Not what is told again after a resume.
    pub fn mutate_events(&self, alter: impl Fn(&str, &mut Value) + Send + Sync + 'static) {
        self.state.sessions().event_mutator = gateway::EventMutator::new(alter);
    }

    /// All connections to the gateway are told this, whatever it is.
    pub fn send_gateway_text(&self, text: &str) {
        self.state
            .sessions()
            .broadcast(|| gateway::GatewayOutput::Text(text.to_owned()));
    }

    /// Whoever wants to go on with a session is cut off, with a reset, as long as this is so.
    pub fn set_reset_resumes(&self, resets: bool) {
        self.state.sessions().faults.reset_resumes = resets;
    }

    /// Whoever connects to the gateway is cut off, with a reset, as long as this is so.
    pub fn set_reset_connections(&self, resets: bool) {
        self.state.sessions().faults.reset_connections = resets;
    }

    /// Heartbeats are wanted so often from those who connect now, and never answered.
    pub fn set_ignore_heartbeats(&self, every: Option<Duration>) {
        let mut sessions = self.state.sessions();
        sessions.faults.ignore_heartbeats = every.is_some();
        sessions.faults.heartbeat_interval_ms = every.map(|every| every.as_millis() as u64);
    }

    /// Whoever says who it is, or wants to go on with a session, is closed with this code.
    pub fn set_close_on_identify(&self, code: Option<u16>) {
        self.state.sessions().faults.close_on_identify = code;
    }

    /// How many connections were made to the gateway.
    pub fn gateway_connections(&self) -> usize {
        self.state.sessions().connections
    }

    /// Waits until so many connections were made to the gateway.
    pub async fn wait_for_gateway_connections(&self, count: usize) {
        let made = || (self.gateway_connections() >= count).then_some(());
        wait_for(&self.state, format!("{count} connections"), made).await;
    }

    /// How often somebody identified, and how often somebody resumed.
    pub fn identify_and_resume_counts(&self) -> (usize, usize) {
        let sessions = self.state.sessions();
        (sessions.identifies, sessions.resumes)
    }

    /// Waits until so many sessions are connected.
    pub async fn wait_until_connected(&self, count: usize) {
        let connected = || self.state.sessions().connected_count() >= count;
        wait_for(&self.state, "the bot to connect", || {
            connected().then_some(())
        })
        .await;
    }

    /// Waits until nobody is connected.
    pub async fn wait_until_disconnected(&self) {
        let gone = || self.state.sessions().connected_count() == 0;
        wait_for(&self.state, "the bot to leave", || gone().then_some(())).await;
    }

    /// The commands are those of another version of the bot: `/help` is called `/old`, and `/ask`
    /// described otherwise.
    pub fn set_outdated_commands(&self) {
        for command in &mut self.state.world().commands {
            if command["name"] == "help" {
                command["name"] = "old".into();
            } else if command["name"] == "ask" {
                command["description"] = "As it was".into();
            }
        }
    }

    /// Waits until the bot has registered its commands, and returns them.
    pub async fn wait_for_commands(&self) -> Vec<Value> {
        wait_for(&self.state, "commands", || {
            let commands = self.state.world().commands.clone();
            (!commands.is_empty()).then_some(commands)
        })
        .await
    }

    /// Who can write to the bot from outside of any server.
    pub fn person(&self, name: &str) -> TestUser {
        let id = self.state.world().add_user(name, false);
        TestUser::new(Arc::clone(&self.state), id, None)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.recorder.requests(Some(Server::Discord))
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`], and returns all requests there are.
    pub async fn wait_until(
        &self,
        enough: impl Fn(&[RecordedRequest]) -> bool,
    ) -> Vec<RecordedRequest> {
        self.recorder
            .wait_until(Some(Server::Discord), enough)
            .await
    }
}

impl DiscordListeners {
    /// Serves everything on the runtime it is called on.
    pub(crate) fn serve(
        self,
        state: &Arc<DiscordState>,
        recorder: &Recorder,
    ) -> std::io::Result<()> {
        let tokio = tokio::net::TcpListener::from_std;
        let http = self.http.local_addr()?;
        let tls = self.tls.local_addr()?;
        tokio::spawn(serve(
            tokio(self.http)?,
            Arc::clone(state),
            recorder.clone(),
        ));
        let certificate = self.certificate.config();
        self.voice.serve(state, Arc::clone(&certificate))?;
        let behind = tls_proxy::TlsBackends {
            rest: http,
            gateway: self.tls_gateway.local_addr()?,
        };
        tokio::spawn(tls_proxy::serve_tls(tokio(self.tls)?, certificate, behind));
        tokio::spawn(tls_proxy::serve_proxy(tokio(self.proxy)?, tls));
        let url = format!("ws://{}", self.gateway.local_addr()?);
        let gateway = tokio(self.gateway)?;
        tokio::spawn(gateway::serve(gateway, url, Arc::clone(state)));
        let gateway = tokio(self.tls_gateway)?;
        let url = format!("wss://{}", tls_proxy::RESUME_GATEWAY_HOST);
        tokio::spawn(gateway::serve(gateway, url, Arc::clone(state)));
        Ok(())
    }
}

/// Waits for something, at most [`MAX_WAIT`].
///
/// # Panics
///
/// If it does not come, saying what has been waited for.
async fn wait_for<T>(
    state: &DiscordState,
    what: impl std::fmt::Display,
    look: impl Fn() -> Option<T>,
) -> T {
    let mut changed = state.changed.subscribe();
    let waiting = async {
        loop {
            changed.mark_unchanged();
            if let Some(found) = look() {
                return found;
            }
            // The gateway's connections end without a word, so look now and then anyway.
            let tick = Duration::from_millis(50);
            let _ = tokio::time::timeout(tick, changed.changed()).await;
        }
    };
    let found = tokio::time::timeout(MAX_WAIT, waiting).await;
    assert!(found.is_ok(), "waited in vain for {what}");
    found.expect("just looked")
}
