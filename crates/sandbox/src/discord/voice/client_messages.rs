//! What clients say to the voice gateway.

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::rest_api::DiscordState;
use super::super::world::{GUILD_STAGE_VOICE, SPEAK};
use super::frames::{ScheduledOutput, VoiceFrame, VoiceOutput, op, parse_id};
use super::server_state::{NewClient, VoiceServerState, speaking_payload};
use super::transport_cipher::ClientCipher;

/// What a client says when its handshake is done.
#[derive(Debug)]
pub(super) enum VoiceClientMessage {
    /// Its microphone is on or off.
    Speaking(u64),
    TransitionReady(u16),
    KeyPackage(Vec<u8>),
    Commit(Vec<u8>),
    InvalidCommitWelcome,
}

impl VoiceClientMessage {
    fn from_json(op: u64, data: &Value) -> Option<Self> {
        let transition = || u16::try_from(data["transition_id"].as_u64()?).ok();
        match op {
            5 => data["speaking"].as_u64().map(Self::Speaking),
            23 => transition().map(Self::TransitionReady),
            31 => Some(Self::InvalidCommitWelcome),
            _ => None,
        }
    }

    fn from_binary(bytes: &[u8]) -> Option<Self> {
        let (op, rest) = bytes.split_first()?;
        match op {
            26 => Some(Self::KeyPackage(rest.to_vec())),
            28 => Some(Self::Commit(rest.to_vec())),
            _ => None,
        }
    }
}

impl VoiceServerState {
    pub(super) fn handle_client_message(&mut self, number: u64, said: VoiceClientMessage) {
        let Some(client) = self.clients.get_mut(&number) else {
            return;
        };
        let (user, channel, ssrc) = (client.user_id, client.channel_id, client.ssrc);
        match said {
            VoiceClientMessage::Speaking(flags) => {
                client.speaking = Some(flags);
                let data = speaking_payload(user, ssrc, flags);
                let others: Vec<u64> = self.clients_in_channel(channel).collect();
                for other in others.into_iter().filter(|it| *it != number) {
                    self.send(other, VoiceFrame::Json(op::SPEAKING, data.clone()));
                }
            }
            VoiceClientMessage::TransitionReady(transition) => {
                self.handle_transition_ready(channel, user, Some(transition));
            }
            VoiceClientMessage::KeyPackage(bytes) => self.handle_key_package(channel, user, &bytes),
            VoiceClientMessage::Commit(bytes) => self.handle_commit(channel, user, &bytes),
            VoiceClientMessage::InvalidCommitWelcome => self.handle_invalid_commit(channel, user),
        }
    }
}

/// Reads one frame of a socket. An error is the code that the connection is closed with.
pub(super) fn handle_text_frame(
    state: &DiscordState,
    text: &str,
    version: u64,
    client: &mut Option<u64>,
    out: &mpsc::Sender<ScheduledOutput>,
) -> Result<Option<VoiceFrame>, u16> {
    let frame: Value = serde_json::from_str(text).map_err(|_| 4_002_u16)?;
    let data = &frame["d"];
    let op = frame["op"].as_u64().ok_or(4_002_u16)?;
    match (op, *client) {
        (0 | 7, Some(_)) => return Err(4_005),
        (0, None) => *client = Some(handle_identify(state, data, version, out)?),
        (7, None) => {
            let text = |name: &str| data[name].as_str().unwrap_or_default();
            let seen = data["seq_ack"].as_u64();
            let mut calls = state.voice.state();
            let resumed = calls.resume(text("session_id"), text("token"), seen, version, out);
            *client = Some(resumed.ok_or(4_006_u16)?);
        }
        (3, _) => return Ok(Some(heartbeat_ack(data, version))),
        (_, None) => return Err(4_003),
        (1, Some(number)) => handle_select_protocol(state, number, data)?,
        (5 | 23 | 31, Some(number)) => {
            if let Some(said) = VoiceClientMessage::from_json(op, data) {
                state.voice.state().handle_client_message(number, said);
            }
        }
        // What official clients also say, about video and the like.
        (12 | 14..=20, Some(_)) => {}
        _ => return Err(4_001),
    }
    state.notify_changed();
    Ok(None)
}

pub(super) fn handle_binary_frame(
    state: &DiscordState,
    bytes: &[u8],
    client: Option<u64>,
) -> Result<(), u16> {
    let number = client.ok_or(4_003_u16)?;
    let said = VoiceClientMessage::from_binary(bytes).ok_or(4_001_u16)?;
    state.voice.state().handle_client_message(number, said);
    state.notify_changed();
    Ok(())
}

fn heartbeat_ack(data: &Value, version: u64) -> VoiceFrame {
    let answer = if version >= 8 {
        json!({"t": data["t"]})
    } else {
        data.clone()
    };
    VoiceFrame::Json(op::HEARTBEAT_ACK, answer)
}

fn handle_identify(
    state: &DiscordState,
    data: &Value,
    version: u64,
    out: &mpsc::Sender<ScheduledOutput>,
) -> Result<u64, u16> {
    let (guild, user) = (parse_id(&data["server_id"]), parse_id(&data["user_id"]));
    let (channel, session, token, stage, mute, deaf) = {
        let world = state.world();
        let known = world.voice_states.get(&(guild, user));
        let known = known.filter(|it| data["session_id"] == it.session_id.as_str());
        let known = known.ok_or(4_006_u16)?;
        if data["token"] != known.token.as_str() {
            return Err(4_004);
        }
        let stage = world.channels.get(&known.channel_id);
        let stage = stage.is_some_and(|it| it.kind == GUILD_STAGE_VOICE);
        let silenced = user == world.bot_id && world.bot_permissions(known.channel_id) & SPEAK == 0;
        (
            known.channel_id,
            known.session_id.clone(),
            known.token.clone(),
            stage,
            silenced || known.suppress,
            known.receives_no_audio(stage),
        )
    };
    let dave = data["max_dave_protocol_version"].as_u64().unwrap_or(0) > 0;
    let mut calls = state.voice.state();
    if calls.group_or_insert(channel, !stage).should_encrypt && !dave {
        return Err(4_017);
    }
    calls.identifies += 1;
    let number = calls.add_client(NewClient {
        user_id: user,
        guild_id: guild,
        channel_id: channel,
        session_id: session,
        token,
        version,
        is_simulated: false,
        supports_dave: dave,
        mute,
        deaf,
        outgoing: out.clone(),
    });
    let ready = json!({
        "ssrc": calls.clients[&number].ssrc, "ip": "127.0.0.1", "port": state.voice.udp_port(),
        "modes": calls.offered_modes, "experiments": [], "streams": [],
    });
    calls.send(number, VoiceFrame::Json(op::READY, ready));
    Ok(number)
}

fn handle_select_protocol(state: &DiscordState, number: u64, data: &Value) -> Result<(), u16> {
    if data["protocol"] != "udp" {
        return Err(4_012);
    }
    let mode = data["data"]["mode"].as_str().unwrap_or_default();
    let mut calls = state.voice.state();
    let mut key = [0; 32];
    calls.random.fill(&mut key);
    if !calls.offered_modes.contains(&mode) {
        return Err(4_016);
    }
    let cipher = ClientCipher::new(mode, &key).ok_or(4_016_u16)?;
    let address = data["data"]["address"].as_str().unwrap_or_default();
    let port = data["data"]["port"].as_u64().unwrap_or(0);
    let channel = calls.clients.get(&number).map_or(0, |it| it.channel_id);
    let wanted = calls
        .groups
        .get(&channel)
        .is_some_and(|it| it.should_encrypt);
    let client = calls.clients.get_mut(&number).ok_or(4_006_u16)?;
    if client.in_call {
        return Err(4_005);
    }
    // Packets never leave this machine, whatever a client asks for.
    let address = address
        .parse()
        .map(|ip: std::net::IpAddr| (ip, port as u16));
    client.udp_address = address.ok().filter(|it| it.0.is_loopback()).map(Into::into);
    client.cipher = Some(cipher);
    let description = json!({
        "mode": mode, "secret_key": key, "dave_protocol_version": u8::from(wanted),
        "audio_codec": "opus", "video_codec": "H264", "media_session_id": format!("media-{number}"),
    });
    calls.complete_handshake(number, &description);
    if let Some(code) = calls.close_on_join {
        let user = calls.clients.get(&number).map_or(0, |it| it.user_id);
        calls.queue_output(|it| it.user_id == user, || VoiceOutput::Close(code));
    }
    Ok(())
}
