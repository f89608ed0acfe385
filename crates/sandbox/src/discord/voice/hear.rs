//! What clients say to the voice gateway.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::rest::State;
use super::super::world::{SPEAK, STAGE};
use super::call::{Calls, NewClient, speaking};
use super::cipher::Cipher;
use super::wire::{Frame, Out, Outgoing, id, op};

/// What a client says when its handshake is done.
#[derive(Debug)]
pub(super) enum Said {
    /// Its microphone is on or off.
    Speaking(u64),
    Ready(u16),
    KeyPackage(Vec<u8>),
    Commit(Vec<u8>),
    Invalid,
}

impl Said {
    fn json(op: u64, data: &Value) -> Option<Self> {
        let transition = || u16::try_from(data["transition_id"].as_u64()?).ok();
        match op {
            5 => data["speaking"].as_u64().map(Self::Speaking),
            23 => transition().map(Self::Ready),
            31 => Some(Self::Invalid),
            _ => None,
        }
    }

    fn binary(bytes: &[u8]) -> Option<Self> {
        let (op, rest) = bytes.split_first()?;
        match op {
            26 => Some(Self::KeyPackage(rest.to_vec())),
            28 => Some(Self::Commit(rest.to_vec())),
            _ => None,
        }
    }
}

impl Calls {
    pub(super) fn said(&mut self, number: u64, said: Said) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let (user, channel, ssrc) = (client.user, client.channel, client.ssrc);
        match said {
            Said::Speaking(flags) => {
                client.speaking = Some(flags);
                let data = speaking(user, ssrc, flags);
                let others: Vec<u64> = self.in_channel(channel).collect();
                for other in others.into_iter().filter(|it| *it != number) {
                    self.send(other, Frame::Json(op::SPEAKING, data.clone()));
                }
            }
            Said::Ready(transition) => self.dave_ready(channel, user, Some(transition)),
            Said::KeyPackage(bytes) => self.dave_key_package(channel, user, &bytes),
            Said::Commit(bytes) => self.dave_commit(channel, user, &bytes),
            Said::Invalid => self.dave_invalid(channel, user),
        }
    }
}

/// Reads one frame of a socket. An error is the code that the connection is closed with.
pub(super) fn text(
    state: &State,
    text: &str,
    version: u64,
    client: &mut Option<u64>,
    out: &mpsc::Sender<Outgoing>,
) -> Result<Option<Frame>, u16> {
    let frame: Value = serde_json::from_str(text).map_err(|_| 4_002_u16)?;
    let data = &frame["d"];
    let op = frame["op"].as_u64().ok_or(4_002_u16)?;
    match (op, *client) {
        (0 | 7, Some(_)) => return Err(4_005),
        (0, None) => *client = Some(identify(state, data, version, out)?),
        (7, None) => {
            let text = |name: &str| data[name].as_str().unwrap_or_default();
            let seen = data["seq_ack"].as_u64();
            let mut calls = state.voice.calls();
            let resumed = calls.resume(text("session_id"), text("token"), seen, version, out);
            *client = Some(resumed.ok_or(4_006_u16)?);
        }
        (3, _) => return Ok(Some(heartbeat(data, version))),
        (_, None) => return Err(4_003),
        (1, Some(number)) => select(state, number, data)?,
        (5 | 23 | 31, Some(number)) => {
            if let Some(said) = Said::json(op, data) {
                state.voice.calls().said(number, said);
            }
        }
        // What official clients also say, about video and the like.
        (12 | 14..=20, Some(_)) => {}
        _ => return Err(4_001),
    }
    state.touch();
    Ok(None)
}

pub(super) fn binary(state: &State, bytes: &[u8], client: Option<u64>) -> Result<(), u16> {
    let number = client.ok_or(4_003_u16)?;
    let said = Said::binary(bytes).ok_or(4_001_u16)?;
    state.voice.calls().said(number, said);
    state.touch();
    Ok(())
}

fn heartbeat(data: &Value, version: u64) -> Frame {
    let answer = if version >= 8 {
        json!({"t": data["t"]})
    } else {
        data.clone()
    };
    Frame::Json(op::HEARTBEAT_ACK, answer)
}

fn identify(
    state: &State,
    data: &Value,
    version: u64,
    out: &mpsc::Sender<Outgoing>,
) -> Result<u64, u16> {
    let (guild, user) = (id(&data["server_id"]), id(&data["user_id"]));
    let (channel, session, token, stage, mute, deaf) = {
        let world = state.world();
        let known = world.voice.get(&(guild, user));
        let known = known.filter(|it| data["session_id"] == it.session.as_str());
        let known = known.ok_or(4_006_u16)?;
        if data["token"] != known.token.as_str() {
            return Err(4_004);
        }
        let stage = world.channels.get(&known.channel);
        let stage = stage.is_some_and(|it| it.kind == STAGE);
        let silenced = user == world.bot && world.bot_may(known.channel) & SPEAK == 0;
        (
            known.channel,
            known.session.clone(),
            known.token.clone(),
            stage,
            silenced || known.suppress,
            known.hears_nothing(stage),
        )
    };
    let dave = data["max_dave_protocol_version"].as_u64().unwrap_or(0) > 0;
    let mut calls = state.voice.calls();
    if calls.group(channel, !stage).wanted && !dave {
        return Err(4_017);
    }
    calls.identifies += 1;
    let number = calls.add(NewClient {
        user,
        guild,
        channel,
        session,
        token,
        version,
        inside: false,
        dave,
        mute,
        deaf,
        out: out.clone(),
    });
    let ready = json!({
        "ssrc": calls.clients[&number].ssrc, "ip": "127.0.0.1", "port": state.voice.udp_port(),
        "modes": calls.modes, "experiments": [], "streams": [],
    });
    calls.send(number, Frame::Json(op::READY, ready));
    Ok(number)
}

fn select(state: &State, number: u64, data: &Value) -> Result<(), u16> {
    if data["protocol"] != "udp" {
        return Err(4_012);
    }
    let mode = data["data"]["mode"].as_str().unwrap_or_default();
    let mut calls = state.voice.calls();
    let mut key = [0; 32];
    calls.random.fill(&mut key);
    if !calls.modes.contains(&mode) {
        return Err(4_016);
    }
    let cipher = Cipher::new(mode, &key).ok_or(4_016_u16)?;
    let address = data["data"]["address"].as_str().unwrap_or_default();
    let port = data["data"]["port"].as_u64().unwrap_or(0);
    let channel = calls.clients.get(&number).map_or(0, |it| it.channel);
    let wanted = calls.groups.get(&channel).is_some_and(|it| it.wanted);
    let client = calls.clients.get_mut(&number).ok_or(4_006_u16)?;
    if client.in_call {
        return Err(4_005);
    }
    // Packets never leave this machine, whatever a client asks for.
    let address = address
        .parse()
        .map(|ip: std::net::IpAddr| (ip, port as u16));
    client.address = address.ok().filter(|it| it.0.is_loopback()).map(Into::into);
    client.cipher = Some(cipher);
    let description = json!({
        "mode": mode, "secret_key": key, "dave_protocol_version": u8::from(wanted),
        "audio_codec": "opus", "video_codec": "H264", "media_session_id": format!("media-{number}"),
    });
    calls.enter(number, &description);
    if let Some(code) = calls.closes_entered {
        let user = calls.clients.get(&number).map_or(0, |it| it.user);
        calls.act(|it| it.user == user, || Out::Close(code));
    }
    Ok(())
}
