//! Discord: REST and gateway, version 10, voice, and the people who use it.
//!
//! Faithful as far as bots go that read and write messages and answer commands: what the real one
//! refuses is refused, limits are real limits, sessions are resumed and content is withheld. The
//! doors: plain HTTP ([`Discord::http_url`]) as a proxy for REST, TLS under Discord's own names
//! ([`Discord::tls_addr`], [`Discord::authority_pem`]), and a proxy that leads there
//! ([`Discord::proxy_url`]), through which an unchanged program takes this for the real Discord.

mod cdn;
mod commands;
mod doors;
mod errors;
mod gateway;
mod interactions;
mod limits;
mod messages;
mod packing;
mod people;
mod rest;
mod voice;
mod webhooks;
mod world;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::fault::Fault;
use crate::recorder::{MAX_WAIT, Recorded, Recorder, Server};
use crate::server::serve;

pub use people::{Channel, Guild, Message, Person, Response};
pub use rest::DiscordEndpoint;
pub(crate) use rest::State;
pub use voice::{
    ExternalAuthority, OpenMic, Passed, Speech, VoiceClient, VoiceInvitation, VoiceNetwork,
    opus_packets,
};
pub use webhooks::Webhook;

/// Discord. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Discord {
    state: Arc<State>,
    recorder: Recorder,
    http: SocketAddr,
    tls: SocketAddr,
    proxy: SocketAddr,
    authority: Arc<str>,
}

/// The listeners, until somebody serves them.
pub(crate) struct Doors {
    http: TcpListener,
    tls: TcpListener,
    proxy: TcpListener,
    gateway: TcpListener,
    /// The gateway behind TLS, for those who know it by its name.
    named_gateway: TcpListener,
    voice: voice::VoiceDoors,
    certificate: doors::Certificate,
}

impl Discord {
    pub(crate) fn open(
        state: Arc<State>,
        recorder: Recorder,
        listen: impl Fn() -> std::io::Result<TcpListener>,
    ) -> std::io::Result<(Self, Doors)> {
        let doors = Doors {
            http: listen()?,
            tls: listen()?,
            proxy: listen()?,
            gateway: listen()?,
            named_gateway: listen()?,
            voice: state.voice.open(listen()?)?,
            certificate: doors::Certificate::new(),
        };
        let gateway = format!("ws://{}", doors.gateway.local_addr()?);
        *state.gateway.lock().unwrap_or_else(PoisonError::into_inner) = gateway;
        let discord = Self {
            state,
            recorder,
            http: doors.http.local_addr()?,
            tls: doors.tls.local_addr()?,
            proxy: doors.proxy.local_addr()?,
            authority: doors.certificate.authority.as_str().into(),
        };
        Ok((discord, doors))
    }

    /// The bot's token.
    pub fn token(&self) -> String {
        self.state.world().token.clone()
    }

    /// The bot's user.
    pub fn bot_id(&self) -> u64 {
        self.state.world().bot
    }

    /// REST without TLS and without limits of its own, as a proxy for bots offers it.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// REST and files under their own names.
    pub fn tls_addr(&self) -> SocketAddr {
        self.tls
    }

    /// The certificate of the authority that vouches for those names.
    pub fn authority_pem(&self) -> String {
        self.authority.to_string()
    }

    /// A proxy for HTTPS that leads there.
    pub fn proxy_url(&self) -> String {
        format!("http://{}", self.proxy)
    }

    /// A server that the bot is in.
    pub fn guild(&self, name: &str) -> Guild {
        let id = self.state.world().guild(name);
        let value = self.state.world().guild_json(id).unwrap_or_default();
        self.state.dispatch("GUILD_CREATE", Some(id), &value);
        Guild::new(Arc::clone(&self.state), id)
    }

    /// So many servers more, with a channel each. The bot learns of them when it connects.
    pub fn many_guilds(&self, count: usize) {
        for number in 0..count {
            let id = self.state.world().guild(&format!("Server {number}"));
            Guild::new(Arc::clone(&self.state), id).channel("general");
        }
    }

    /// How many shards the bot is told to have.
    pub fn recommends_shards(&self, count: u32) {
        self.state.world().shards = count;
    }

    /// The gateway tells who sits where, and not what they are called.
    pub fn hides_names_in_voice(&self) {
        self.state.world().nameless_voice = true;
    }

    /// How many sessions may still be begun today, as the bot is told.
    pub fn starts_left(&self, count: u32) {
        self.state.world().starts_left = count;
    }

    /// Whether the application has been given the message content intent: without it, who asks for
    /// it is closed with 4014.
    pub fn allows_message_content(&self, allowed: bool) {
        let mut world = self.state.world();
        world.allow_content = allowed;
        world.flagged_content = allowed;
    }

    /// The intent is refused although the application says that it has it.
    pub fn refuses_message_content(&self) {
        self.state.world().allow_content = false;
    }

    /// The token is no longer valid.
    pub fn resets_token(&self) {
        self.state.world().token = "another.token.now".to_owned();
    }

    /// No request is refused for coming too soon.
    pub fn without_rate_limits(&self) {
        let mut limits = self
            .state
            .limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        limits.off = true;
    }

    /// How many requests were refused for coming too soon.
    pub fn rate_limited(&self) -> usize {
        let limits = self
            .state
            .limits
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        limits.refused
    }

    /// Queues a fault.
    pub fn fault(&self, endpoint: DiscordEndpoint, fault: Fault) {
        self.state.faults.add(endpoint, fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// How long after an interaction the first response may come.
    pub fn interaction_limit(&self, limit: Duration) {
        self.state.world().interaction_limit = limit;
    }

    /// How long an interaction's token lives.
    pub fn token_lifetime(&self, life: Duration) {
        self.state.world().token_life = life;
    }

    /// How long a nonce is remembered.
    pub fn nonce_lifetime(&self, life: Duration) {
        self.state.world().nonce_life = life;
    }

    /// Links to files that have been given out so far are dead; new ones are good.
    pub fn expires_links(&self) {
        let mut world = self.state.world();
        let dead = cdn::now() + world.link_life.as_secs() + 1;
        world.link_life += Duration::from_secs(10);
        let messages = world.messages.values_mut();
        for attached in messages.flat_map(|it| &mut it.attachments) {
            attached.dead_before = dead;
        }
        for attached in world.loose.values_mut() {
            attached.dead_before = dead;
        }
    }

    /// All connections to the gateway break.
    pub fn drops_gateway(&self) {
        self.state.sessions().send_all(|| gateway::Out::Cut);
    }

    /// The gateway asks for a reconnect.
    pub fn asks_reconnect(&self) {
        let text = serde_json::json!({"op": 7, "d": null}).to_string();
        self.state
            .sessions()
            .send_all(|| gateway::Out::Text(text.clone()));
    }

    /// The gateway closes all connections with this code.
    pub fn closes_gateway(&self, code: u16) {
        self.state.sessions().send_all(|| gateway::Out::Close(code));
    }

    /// The gateway forgets all sessions: who wants to resume must begin anew.
    pub fn invalidates_sessions(&self) {
        let mut sessions = self.state.sessions();
        let text = serde_json::json!({"op": 9, "d": false}).to_string();
        sessions.send_all(|| gateway::Out::Text(text.clone()));
        sessions.forget();
    }

    /// Whatever is told is changed before it is: `alter` gets the name of the event, or of the
    /// [`DiscordEndpoint`], and what is told. Not what is told again after a resume.
    pub fn tells_oddly(&self, alter: impl Fn(&str, &mut Value) + Send + Sync + 'static) {
        self.state.sessions().odd = gateway::Odd::new(alter);
    }

    /// All connections to the gateway are told this, whatever it is.
    pub fn says_on_gateway(&self, text: &str) {
        self.state
            .sessions()
            .send_all(|| gateway::Out::Text(text.to_owned()));
    }

    /// Whoever wants to go on with a session is cut off, with a reset, as long as this is so.
    pub fn resets_resumes(&self, resets: bool) {
        self.state.sessions().weather.resets_resumes = resets;
    }

    /// Whoever connects to the gateway is cut off, with a reset, as long as this is so.
    pub fn resets_connections(&self, resets: bool) {
        self.state.sessions().weather.resets_all = resets;
    }

    /// Heartbeats are wanted so often from those who connect now, and never answered.
    pub fn ignores_heartbeats(&self, every: Option<Duration>) {
        let mut sessions = self.state.sessions();
        sessions.weather.deaf = every.is_some();
        sessions.weather.beat = every.map(|every| every.as_millis() as u64);
    }

    /// Whoever says who it is, or wants to go on with a session, is closed with this code.
    pub fn closes_whoever_enters(&self, code: Option<u16>) {
        self.state.sessions().weather.closes = code;
    }

    /// How many connections were made to the gateway.
    pub fn connections(&self) -> usize {
        self.state.sessions().connections
    }

    /// Waits until so many connections were made to the gateway.
    pub async fn until_connections(&self, count: usize) {
        let made = || (self.connections() >= count).then_some(());
        wait(&self.state, format!("{count} connections"), made).await;
    }

    /// How often somebody identified, and how often somebody resumed.
    pub fn logins(&self) -> (usize, usize) {
        let sessions = self.state.sessions();
        (sessions.identifies, sessions.resumes)
    }

    /// Waits until so many sessions are connected.
    pub async fn until_connected(&self, count: usize) {
        let connected = || self.state.sessions().connected() >= count;
        wait(&self.state, "the bot to connect", || {
            connected().then_some(())
        })
        .await;
    }

    /// Waits until nobody is connected.
    pub async fn until_disconnected(&self) {
        let gone = || self.state.sessions().connected() == 0;
        wait(&self.state, "the bot to leave", || gone().then_some(())).await;
    }

    /// The commands are those of another version of the bot: `/help` is called `/old`, and `/ask`
    /// described otherwise.
    pub fn has_other_commands(&self) {
        for command in &mut self.state.world().commands {
            if command["name"] == "help" {
                command["name"] = "old".into();
            } else if command["name"] == "ask" {
                command["description"] = "As it was".into();
            }
        }
    }

    /// Waits until the bot has registered its commands, and returns them.
    pub async fn until_commands(&self) -> Vec<Value> {
        wait(&self.state, "commands", || {
            let commands = self.state.world().commands.clone();
            (!commands.is_empty()).then_some(commands)
        })
        .await
    }

    /// Who can write to the bot from outside of any server.
    pub fn person(&self, name: &str) -> Person {
        let id = self.state.world().user(name, false);
        Person::new(Arc::clone(&self.state), id, None)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.recorder.requests(Some(Server::Discord))
    }

    /// Waits until `enough` says so, at most [`MAX_WAIT`], and returns all requests there are.
    pub async fn wait_until(&self, enough: impl Fn(&[Recorded]) -> bool) -> Vec<Recorded> {
        self.recorder
            .wait_until(Some(Server::Discord), enough)
            .await
    }
}

impl Doors {
    /// Serves everything on the runtime it is called on.
    pub(crate) fn serve(self, state: &Arc<State>, recorder: &Recorder) -> std::io::Result<()> {
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
        let behind = doors::Behind {
            rest: http,
            gateway: self.named_gateway.local_addr()?,
        };
        tokio::spawn(doors::serve_tls(tokio(self.tls)?, certificate, behind));
        tokio::spawn(doors::serve_proxy(tokio(self.proxy)?, tls));
        let url = format!("ws://{}", self.gateway.local_addr()?);
        let gateway = tokio(self.gateway)?;
        tokio::spawn(gateway::serve(gateway, url, Arc::clone(state)));
        let gateway = tokio(self.named_gateway)?;
        let url = format!("wss://{}", doors::RESUME_GATEWAY);
        tokio::spawn(gateway::serve(gateway, url, Arc::clone(state)));
        Ok(())
    }
}

/// Waits for something, at most [`MAX_WAIT`].
///
/// # Panics
///
/// If it does not come, saying what has been waited for.
async fn wait<T>(state: &State, what: impl std::fmt::Display, look: impl Fn() -> Option<T>) -> T {
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
