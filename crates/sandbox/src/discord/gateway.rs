//! The gateway, version 10, as JSON: <https://discord.com/developers/docs/events/gateway>.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::compression::TransportCompression;
use super::rest_api::DiscordState;
use crate::recorder::query_param;

/// Events that a session can be told again.
const MAX_REPLAY: usize = 10_000;

/// What waits to go out on one connection.
const MAX_QUEUED: usize = 100_000;

const GUILDS: u64 = 1;
const GUILD_VOICE_STATES: u64 = 1 << 7;
const GUILD_MESSAGES: u64 = 1 << 9;
const GUILD_MESSAGE_REACTIONS: u64 = 1 << 10;
const GUILD_MESSAGE_TYPING: u64 = 1 << 11;
const DIRECT_MESSAGES: u64 = 1 << 12;
const DIRECT_MESSAGE_REACTIONS: u64 = 1 << 13;
const DIRECT_MESSAGE_TYPING: u64 = 1 << 14;
pub(super) const MESSAGE_CONTENT: u64 = 1 << 15;

#[derive(Debug)]
pub(super) enum GatewayOutput {
    Text(String),
    Close(u16),
    /// The connection breaks.
    Drop,
    /// The connection is reset.
    Reset,
}

/// How the gateway breaks for whoever comes to it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct GatewayFaults {
    /// Whoever wants to go on with a session is cut off.
    pub(super) reset_resumes: bool,
    /// Whoever connects is cut off.
    pub(super) reset_connections: bool,
    /// Heartbeats are not answered.
    pub(super) ignore_heartbeats: bool,
    /// Milliseconds between heartbeats.
    pub(super) heartbeat_interval_ms: Option<u64>,
    /// Whoever says who it is is closed with this code.
    pub(super) close_on_identify: Option<u16>,
}

#[derive(Debug)]
struct GatewaySession {
    intents: u64,
    shard: (u64, u64),
    sequence: u64,
    replay: VecDeque<(u64, String)>,
    outgoing: Option<mpsc::Sender<GatewayOutput>>,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct GatewaySessions {
    by_id: HashMap<String, GatewaySession>,
    created: usize,
    pub(super) identifies: usize,
    pub(super) resumes: usize,
    /// Connections that were made, and what breaks on them.
    pub(super) connections: usize,
    pub(super) faults: GatewayFaults,
    /// What is odd in what is told.
    pub(super) event_mutator: EventMutator,
}

/// Changes what is told before it is: the name of the event or of the endpoint, and its content.
type MutateEvent = dyn Fn(&str, &mut Value) + Send + Sync;

#[derive(Clone, Default)]
pub(super) struct EventMutator(Option<Arc<MutateEvent>>);

impl std::fmt::Debug for EventMutator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Odd").finish_non_exhaustive()
    }
}

impl EventMutator {
    pub(super) fn new(alter: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(alter)))
    }

    pub(super) fn apply(&self, what: &str, value: &mut Value) {
        if let Some(alter) = &self.0 {
            alter(what, value);
        }
    }
}

impl GatewaySessions {
    /// Sends an event to those sessions whose shard and intents it is for. `data` is asked with
    /// whether the session may see the content of messages.
    pub(super) fn dispatch_to(
        &mut self,
        guild: Option<u64>,
        event: &str,
        data: impl Fn(bool) -> Option<Value>,
    ) {
        let odd = self.event_mutator.clone();
        for session in self.by_id.values_mut() {
            let (index, count) = session.shard;
            // Direct messages go to the first shard.
            let shard = guild.map_or(0, |guild| (guild >> 22) % count.max(1));
            let intent = required_intent(event, guild.is_some());
            if shard != index || session.intents & intent != intent {
                continue;
            }
            if let Some(data) = data(session.intents & MESSAGE_CONTENT != 0) {
                session.send(event, data, &odd);
            }
        }
    }

    /// Whether a session is connected.
    pub(super) fn connected_count(&self) -> usize {
        let open = |session: &&GatewaySession| {
            session
                .outgoing
                .as_ref()
                .is_some_and(|out| !out.is_closed())
        };
        self.by_id.values().filter(open).count()
    }

    /// Sends something to every connection.
    pub(super) fn broadcast(&mut self, make: impl Fn() -> GatewayOutput) {
        for session in self.by_id.values_mut() {
            if let Some(out) = &session.outgoing {
                let _ = out.try_send(make());
            }
        }
    }

    /// Nobody can resume.
    pub(super) fn invalidate_all(&mut self) {
        self.by_id.clear();
    }
}

/// The intent without which an event is not told.
fn required_intent(event: &str, in_guild: bool) -> u64 {
    match (event, in_guild) {
        ("INTERACTION_CREATE" | "VOICE_SERVER_UPDATE", _) => 0,
        ("VOICE_STATE_UPDATE", _) => GUILD_VOICE_STATES,
        ("MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE", true) => GUILD_MESSAGE_REACTIONS,
        ("MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE", false) => DIRECT_MESSAGE_REACTIONS,
        ("TYPING_START", true) => GUILD_MESSAGE_TYPING,
        ("TYPING_START", false) => DIRECT_MESSAGE_TYPING,
        (event, true) if event.starts_with("MESSAGE_") => GUILD_MESSAGES,
        (event, false) if event.starts_with("MESSAGE_") => DIRECT_MESSAGES,
        _ => GUILDS,
    }
}

impl GatewaySession {
    fn send(&mut self, event: &str, mut data: Value, odd: &EventMutator) {
        odd.apply(event, &mut data);
        self.sequence += 1;
        let text = json!({"op": 0, "s": self.sequence, "t": event, "d": data}).to_string();
        if self.replay.len() >= MAX_REPLAY {
            self.replay.pop_front();
        }
        self.replay.push_back((self.sequence, text.clone()));
        if let Some(out) = &self.outgoing {
            let _ = out.try_send(GatewayOutput::Text(text));
        }
    }
}

/// Accepts connections until dropped. `url` is where sessions that begin here are to go on.
pub(super) async fn serve(listener: TcpListener, url: String, state: Arc<DiscordState>) {
    let url: Arc<str> = url.into();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            continue;
        };
        let (state, url) = (Arc::clone(&state), Arc::clone(&url));
        connections.spawn(async move {
            // A connection that breaks is the client's to mend.
            let _ = serve_connection(stream, &url, &state).await;
            state.notify_changed();
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    url: &str,
    state: &DiscordState,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    stream
        .set_nodelay(true)
        .map_err(tokio_tungstenite::tungstenite::Error::Io)?;
    let mut packing = TransportCompression::Plain;
    #[expect(clippy::result_large_err, reason = "the type is given")]
    let asked = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let compress = query_param(request.uri().query().unwrap_or_default(), "compress");
        packing = TransportCompression::from_query(compress.as_deref());
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, asked).await?;
    let (mut sink, mut source) = socket.split();
    let (out, mut outgoing) = mpsc::channel(MAX_QUEUED);
    let weather = {
        let mut sessions = state.sessions();
        sessions.connections += 1;
        sessions.faults
    };
    if weather.reset_connections {
        let _ = out.try_send(GatewayOutput::Reset);
    }
    let beat = weather.heartbeat_interval_ms.unwrap_or(41_250);
    let hello = json!({"op": 10, "s": null, "t": null, "d": {"heartbeat_interval": beat}});
    let _ = out.try_send(GatewayOutput::Text(hello.to_string()));
    let mut session = None;
    loop {
        tokio::select! {
            next = outgoing.recv() => match next {
                Some(GatewayOutput::Text(text)) => sink.send(packing.encode(text)).await?,
                Some(GatewayOutput::Close(code)) => {
                    let frame = CloseFrame { code: code.into(), reason: "".into() };
                    sink.send(Frame::Close(Some(frame))).await?;
                    return Ok(());
                }
                Some(GatewayOutput::Drop) | None => return Ok(()),
                Some(GatewayOutput::Reset) => {
                    let socket = sink.reunite(source).map(WebSocketStream::into_inner);
                    if let Ok(stream) = socket {
                        // Closing it now is a reset.
                        let _ = stream.set_zero_linger();
                    }
                    return Ok(());
                }
            },
            frame = source.next() => match frame {
                Some(Ok(Frame::Text(text))) => handle_message(&text, &out, &mut session, url, state),
                Some(Ok(Frame::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
        }
    }
}

fn handle_message(
    text: &str,
    out: &mpsc::Sender<GatewayOutput>,
    session: &mut Option<String>,
    url: &str,
    state: &DiscordState,
) {
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        let _ = out.try_send(GatewayOutput::Close(4_002));
        return;
    };
    let weather = state.sessions().faults;
    match frame["op"].as_u64() {
        Some(1) if weather.ignore_heartbeats => {}
        Some(6) if weather.reset_resumes => {
            let _ = out.try_send(GatewayOutput::Reset);
        }
        Some(2 | 6) if weather.close_on_identify.is_some() => {
            let _ = out.try_send(GatewayOutput::Close(
                weather.close_on_identify.unwrap_or_default(),
            ));
        }
        Some(1) => {
            let _ = out.try_send(GatewayOutput::Text(
                json!({"op": 11, "d": null}).to_string(),
            ));
        }
        Some(2) => *session = identify(&frame["d"], out, url, state),
        Some(6) => *session = resume(&frame["d"], out, state),
        Some(4) => {
            if let Some(session) = session {
                state.handle_voice_state_update(&frame["d"], session);
            }
        }
        Some(3 | 8) => {}
        _ => {
            let _ = out.try_send(GatewayOutput::Close(4_001));
        }
    }
}

/// Begins a session, and returns its id.
fn identify(
    data: &Value,
    out: &mpsc::Sender<GatewayOutput>,
    url: &str,
    state: &DiscordState,
) -> Option<String> {
    let (ready, guilds, session, shard, intents);
    {
        let world = state.world();
        let token = data["token"].as_str().unwrap_or_default();
        if token.trim_start_matches("Bot ") != world.token {
            let _ = out.try_send(GatewayOutput::Close(4_004));
            return None;
        }
        intents = data["intents"].as_u64().unwrap_or(0);
        if intents & MESSAGE_CONTENT != 0 && !world.message_content_allowed {
            let _ = out.try_send(GatewayOutput::Close(4_014));
            return None;
        }
        let index = data["shard"][0].as_u64().unwrap_or(0);
        let count = data["shard"][1].as_u64().unwrap_or(1);
        if index >= count {
            let _ = out.try_send(GatewayOutput::Close(4_010));
            return None;
        }
        shard = (index, count);
        let mine = |id: &u64| (id >> 22) % count == index;
        let ids: Vec<u64> = world.guilds.keys().copied().filter(mine).collect();
        session = format!("session-{}-{index}", data["shard"]);
        let unavailable: Vec<Value> = ids
            .iter()
            .map(|id| json!({"id": id.to_string(), "unavailable": true}))
            .collect();
        let mut user = world.user_json(world.bot_id);
        user["mfa_enabled"] = json!(true);
        user["verified"] = json!(true);
        user["email"] = Value::Null;
        user["flags"] = json!(0);
        ready = json!({
            "v": 10, "user": user, "guilds": unavailable, "session_id": "",
            "resume_gateway_url": url, "shard": [index, count], "user_settings": {},
            "private_channels": [], "presences": [], "relationships": [],
            "application": {"id": world.application_id.to_string(),
                "flags": if world.message_content_flagged { 1 << 19 } else { 0 }},
        });
        guilds = ids
            .iter()
            .filter_map(|id| world.guild_json(*id))
            .collect::<Vec<_>>();
    }
    let id;
    {
        let mut sessions = state.sessions();
        sessions.identifies += 1;
        sessions.created += 1;
        id = format!("{session}-{}", sessions.created);
        let mut ready = ready;
        ready["session_id"] = json!(id);
        let mut new = GatewaySession {
            intents,
            shard,
            sequence: 0,
            replay: VecDeque::new(),
            outgoing: Some(out.clone()),
        };
        let odd = sessions.event_mutator.clone();
        new.send("READY", ready, &odd);
        for mut guild in guilds {
            if intents & GUILD_VOICE_STATES == 0 {
                guild["voice_states"] = json!([]);
            }
            new.send("GUILD_CREATE", guild, &odd);
        }
        sessions.by_id.insert(id.clone(), new);
    }
    state.notify_changed();
    Some(id)
}

fn resume(data: &Value, out: &mpsc::Sender<GatewayOutput>, state: &DiscordState) -> Option<String> {
    let token_is_right = {
        let world = state.world();
        let token = data["token"].as_str().unwrap_or_default();
        token.trim_start_matches("Bot ") == world.token
    };
    let seen = data["seq"].as_u64().unwrap_or(0);
    let id = data["session_id"].as_str().unwrap_or_default();
    {
        let mut sessions = state.sessions();
        let known = sessions.by_id.get_mut(id).filter(|_| token_is_right);
        let Some(session) = known else {
            let _ = out.try_send(GatewayOutput::Text(
                json!({"op": 9, "d": false}).to_string(),
            ));
            return None;
        };
        session.outgoing = Some(out.clone());
        for (sequence, text) in &session.replay {
            if *sequence > seen {
                let _ = out.try_send(GatewayOutput::Text(text.clone()));
            }
        }
        session.send("RESUMED", json!({"_trace": []}), &EventMutator::default());
        sessions.resumes += 1;
    }
    state.notify_changed();
    Some(id.to_owned())
}
