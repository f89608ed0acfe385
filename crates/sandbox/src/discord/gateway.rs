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

use super::packing::Packing;
use super::rest::State;
use crate::recorder::query_value;

/// Events that a session can be told again.
const MAX_REPLAY: usize = 10_000;

/// What waits to go out on one connection.
const MAX_OUT: usize = 100_000;

const GUILDS: u64 = 1;
const VOICE_STATES: u64 = 1 << 7;
const GUILD_MESSAGES: u64 = 1 << 9;
const GUILD_REACTIONS: u64 = 1 << 10;
const GUILD_TYPING: u64 = 1 << 11;
const DIRECT_MESSAGES: u64 = 1 << 12;
const DIRECT_REACTIONS: u64 = 1 << 13;
const DIRECT_TYPING: u64 = 1 << 14;
pub(super) const MESSAGE_CONTENT: u64 = 1 << 15;

#[derive(Debug)]
pub(super) enum Out {
    Text(String),
    Close(u16),
    /// The connection breaks.
    Cut,
    /// The connection is reset.
    Reset,
}

/// How the gateway breaks for whoever comes to it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Weather {
    /// Whoever wants to go on with a session is cut off.
    pub(super) resets_resumes: bool,
    /// Whoever connects is cut off.
    pub(super) resets_all: bool,
    /// Heartbeats are not answered.
    pub(super) deaf: bool,
    /// Milliseconds between heartbeats.
    pub(super) beat: Option<u64>,
    /// Whoever says who it is is closed with this code.
    pub(super) closes: Option<u16>,
}

#[derive(Debug)]
struct Session {
    intents: u64,
    shard: (u64, u64),
    sequence: u64,
    replay: VecDeque<(u64, String)>,
    out: Option<mpsc::Sender<Out>>,
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: HashMap<String, Session>,
    made: usize,
    pub(super) identifies: usize,
    pub(super) resumes: usize,
    /// Connections that were made, and what breaks on them.
    pub(super) connections: usize,
    pub(super) weather: Weather,
    /// What is odd in what is told.
    pub(super) odd: Odd,
}

/// Changes what is told before it is: the name of the event or of the endpoint, and its content.
type Alter = dyn Fn(&str, &mut Value) + Send + Sync;

#[derive(Clone, Default)]
pub(super) struct Odd(Option<Arc<Alter>>);

impl std::fmt::Debug for Odd {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Odd").finish_non_exhaustive()
    }
}

impl Odd {
    pub(super) fn new(alter: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(alter)))
    }

    pub(super) fn apply(&self, what: &str, value: &mut Value) {
        if let Some(alter) = &self.0 {
            alter(what, value);
        }
    }
}

impl Sessions {
    /// Sends an event to those sessions whose shard and intents it is for. `data` is asked with
    /// whether the session may see the content of messages.
    pub(super) fn dispatch_to(
        &mut self,
        guild: Option<u64>,
        event: &str,
        data: impl Fn(bool) -> Option<Value>,
    ) {
        let odd = self.odd.clone();
        for session in self.all.values_mut() {
            let (index, count) = session.shard;
            // Direct messages go to the first shard.
            let shard = guild.map_or(0, |guild| (guild >> 22) % count.max(1));
            let intent = intent(event, guild.is_some());
            if shard != index || session.intents & intent != intent {
                continue;
            }
            if let Some(data) = data(session.intents & MESSAGE_CONTENT != 0) {
                session.send(event, data, &odd);
            }
        }
    }

    /// Whether a session is connected.
    pub(super) fn connected(&self) -> usize {
        let open = |session: &&Session| session.out.as_ref().is_some_and(|out| !out.is_closed());
        self.all.values().filter(open).count()
    }

    /// Sends something to every connection.
    pub(super) fn send_all(&mut self, make: impl Fn() -> Out) {
        for session in self.all.values_mut() {
            if let Some(out) = &session.out {
                let _ = out.try_send(make());
            }
        }
    }

    /// Nobody can resume.
    pub(super) fn forget(&mut self) {
        self.all.clear();
    }
}

/// The intent without which an event is not told.
fn intent(event: &str, in_guild: bool) -> u64 {
    match (event, in_guild) {
        ("INTERACTION_CREATE" | "VOICE_SERVER_UPDATE", _) => 0,
        ("VOICE_STATE_UPDATE", _) => VOICE_STATES,
        ("MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE", true) => GUILD_REACTIONS,
        ("MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE", false) => DIRECT_REACTIONS,
        ("TYPING_START", true) => GUILD_TYPING,
        ("TYPING_START", false) => DIRECT_TYPING,
        (event, true) if event.starts_with("MESSAGE_") => GUILD_MESSAGES,
        (event, false) if event.starts_with("MESSAGE_") => DIRECT_MESSAGES,
        _ => GUILDS,
    }
}

impl Session {
    fn send(&mut self, event: &str, mut data: Value, odd: &Odd) {
        odd.apply(event, &mut data);
        self.sequence += 1;
        let text = json!({"op": 0, "s": self.sequence, "t": event, "d": data}).to_string();
        if self.replay.len() >= MAX_REPLAY {
            self.replay.pop_front();
        }
        self.replay.push_back((self.sequence, text.clone()));
        if let Some(out) = &self.out {
            let _ = out.try_send(Out::Text(text));
        }
    }
}

/// Accepts connections until dropped. `url` is where sessions that begin here are to go on.
pub(super) async fn serve(listener: TcpListener, url: String, state: Arc<State>) {
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
            let _ = connection(stream, &url, &state).await;
            state.touch();
        });
    }
}

async fn connection(
    stream: TcpStream,
    url: &str,
    state: &State,
) -> Result<(), tokio_tungstenite::tungstenite::Error> {
    stream
        .set_nodelay(true)
        .map_err(tokio_tungstenite::tungstenite::Error::Io)?;
    let mut packing = Packing::Plain;
    #[expect(clippy::result_large_err, reason = "the type is given")]
    let asked = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let compress = query_value(request.uri().query().unwrap_or_default(), "compress");
        packing = Packing::asked(compress.as_deref());
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, asked).await?;
    let (mut sink, mut source) = socket.split();
    let (out, mut outgoing) = mpsc::channel(MAX_OUT);
    let weather = {
        let mut sessions = state.sessions();
        sessions.connections += 1;
        sessions.weather
    };
    if weather.resets_all {
        let _ = out.try_send(Out::Reset);
    }
    let beat = weather.beat.unwrap_or(41_250);
    let hello = json!({"op": 10, "s": null, "t": null, "d": {"heartbeat_interval": beat}});
    let _ = out.try_send(Out::Text(hello.to_string()));
    let mut session = None;
    loop {
        tokio::select! {
            next = outgoing.recv() => match next {
                Some(Out::Text(text)) => sink.send(packing.frame(text)).await?,
                Some(Out::Close(code)) => {
                    let frame = CloseFrame { code: code.into(), reason: "".into() };
                    sink.send(Frame::Close(Some(frame))).await?;
                    return Ok(());
                }
                Some(Out::Cut) | None => return Ok(()),
                Some(Out::Reset) => {
                    let socket = sink.reunite(source).map(WebSocketStream::into_inner);
                    if let Ok(stream) = socket {
                        // Closing it now is a reset.
                        let _ = stream.set_zero_linger();
                    }
                    return Ok(());
                }
            },
            frame = source.next() => match frame {
                Some(Ok(Frame::Text(text))) => hear(&text, &out, &mut session, url, state),
                Some(Ok(Frame::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
        }
    }
}

fn hear(
    text: &str,
    out: &mpsc::Sender<Out>,
    session: &mut Option<String>,
    url: &str,
    state: &State,
) {
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        let _ = out.try_send(Out::Close(4_002));
        return;
    };
    let weather = state.sessions().weather;
    match frame["op"].as_u64() {
        Some(1) if weather.deaf => {}
        Some(6) if weather.resets_resumes => {
            let _ = out.try_send(Out::Reset);
        }
        Some(2 | 6) if weather.closes.is_some() => {
            let _ = out.try_send(Out::Close(weather.closes.unwrap_or_default()));
        }
        Some(1) => {
            let _ = out.try_send(Out::Text(json!({"op": 11, "d": null}).to_string()));
        }
        Some(2) => *session = identify(&frame["d"], out, url, state),
        Some(6) => *session = resume(&frame["d"], out, state),
        Some(4) => {
            if let Some(session) = session {
                state.bot_asks_for_voice(&frame["d"], session);
            }
        }
        Some(3 | 8) => {}
        _ => {
            let _ = out.try_send(Out::Close(4_001));
        }
    }
}

/// Begins a session, and returns its id.
fn identify(data: &Value, out: &mpsc::Sender<Out>, url: &str, state: &State) -> Option<String> {
    let (ready, guilds, session, shard, intents);
    {
        let world = state.world();
        let token = data["token"].as_str().unwrap_or_default();
        if token.trim_start_matches("Bot ") != world.token {
            let _ = out.try_send(Out::Close(4_004));
            return None;
        }
        intents = data["intents"].as_u64().unwrap_or(0);
        if intents & MESSAGE_CONTENT != 0 && !world.allow_content {
            let _ = out.try_send(Out::Close(4_014));
            return None;
        }
        let index = data["shard"][0].as_u64().unwrap_or(0);
        let count = data["shard"][1].as_u64().unwrap_or(1);
        if index >= count {
            let _ = out.try_send(Out::Close(4_010));
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
        let mut user = world.user_json(world.bot);
        user["mfa_enabled"] = json!(true);
        user["verified"] = json!(true);
        user["email"] = Value::Null;
        user["flags"] = json!(0);
        ready = json!({
            "v": 10, "user": user, "guilds": unavailable, "session_id": "",
            "resume_gateway_url": url, "shard": [index, count], "user_settings": {},
            "private_channels": [], "presences": [], "relationships": [],
            "application": {"id": world.application.to_string(),
                "flags": if world.flagged_content { 1 << 19 } else { 0 }},
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
        sessions.made += 1;
        id = format!("{session}-{}", sessions.made);
        let mut ready = ready;
        ready["session_id"] = json!(id);
        let mut new = Session {
            intents,
            shard,
            sequence: 0,
            replay: VecDeque::new(),
            out: Some(out.clone()),
        };
        let odd = sessions.odd.clone();
        new.send("READY", ready, &odd);
        for mut guild in guilds {
            if intents & VOICE_STATES == 0 {
                guild["voice_states"] = json!([]);
            }
            new.send("GUILD_CREATE", guild, &odd);
        }
        sessions.all.insert(id.clone(), new);
    }
    state.touch();
    Some(id)
}

fn resume(data: &Value, out: &mpsc::Sender<Out>, state: &State) -> Option<String> {
    let token_is_right = {
        let world = state.world();
        let token = data["token"].as_str().unwrap_or_default();
        token.trim_start_matches("Bot ") == world.token
    };
    let seen = data["seq"].as_u64().unwrap_or(0);
    let id = data["session_id"].as_str().unwrap_or_default();
    {
        let mut sessions = state.sessions();
        let known = sessions.all.get_mut(id).filter(|_| token_is_right);
        let Some(session) = known else {
            let _ = out.try_send(Out::Text(json!({"op": 9, "d": false}).to_string()));
            return None;
        };
        session.out = Some(out.clone());
        for (sequence, text) in &session.replay {
            if *sequence > seen {
                let _ = out.try_send(Out::Text(text.clone()));
            }
        }
        session.send("RESUMED", json!({"_trace": []}), &Odd::default());
        sessions.resumes += 1;
    }
    state.touch();
    Some(id.to_owned())
}
