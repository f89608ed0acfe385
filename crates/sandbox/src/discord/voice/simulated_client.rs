//! A person's own client: what it makes of the gateway's frames, and its keys.

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use davey::{DaveSession, ProposalsOperationType};
use serde_json::json;
use tokio::sync::mpsc;

use super::super::rest_api::DiscordState;
use super::client_messages::VoiceClientMessage;
use super::frames::{ScheduledOutput, VoiceFrame, VoiceOutput, op};
use super::server_state::{MAX_QUEUED_FRAMES, NewClient};
use super::speech::SpeechQueue;

/// A person in a call who can be heard.
#[derive(Debug)]
pub(super) struct SimulatedClient {
    /// Of their client.
    pub(super) number: u64,
    pub(super) ssrc: u32,
    keys: Mutex<MemberKeys>,
    speech: Mutex<SpeechQueue>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum EncryptionMode {
    /// The call is not encrypted end to end.
    Unencrypted,
    /// It will be, but not yet: nothing is sent.
    AwaitingKeys,
    Encrypted,
}

#[derive(Debug)]
struct MemberKeys {
    user: u64,
    channel: u64,
    dave: Option<DaveSession>,
    mode: EncryptionMode,
    /// A commit that counts once everybody is ready, as official clients change keys.
    pending_commit: Option<(u16, Vec<u8>)>,
    /// The transition that ends encryption.
    downgrade_transition: Option<u16>,
}

impl SimulatedClient {
    /// Brings a person's client into the call they have been let into.
    pub(super) fn start_simulated_client(
        state: &Arc<DiscordState>,
        guild: u64,
        user: u64,
        channel: u64,
        stage: bool,
    ) -> Arc<Self> {
        let (out, outgoing) = mpsc::channel(MAX_QUEUED_FRAMES);
        let mouth = {
            let mut calls = state.voice.state();
            let wanted = calls.group_or_insert(channel, !stage).should_encrypt;
            let number = calls.add_client(NewClient {
                user_id: user,
                guild_id: guild,
                channel_id: channel,
                session_id: format!("person-{user}"),
                token: String::new(),
                version: 8,
                is_simulated: true,
                supports_dave: true,
                mute: false,
                deaf: false,
                outgoing: out,
            });
            let ssrc = calls.clients[&number].ssrc;
            let mouth = Arc::new(Self {
                number,
                ssrc,
                keys: Mutex::new(MemberKeys::new(user, channel)),
                speech: Mutex::new(SpeechQueue::new(calls.random.u16(..), calls.random.u32(..))),
            });
            calls.simulated_clients.insert(user, Arc::clone(&mouth));
            let description = json!({"dave_protocol_version": u8::from(wanted)});
            calls.complete_handshake(number, &description);
            mouth
        };
        state.notify_changed();
        let task = read_frames(Arc::clone(state), Arc::clone(&mouth), outgoing);
        state.voice.spawn(task);
        mouth
    }

    fn keys(&self) -> MutexGuard<'_, MemberKeys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn speech(&self) -> MutexGuard<'_, SpeechQueue> {
        self.speech.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They have left: nothing more is said.
    pub(super) fn close(&self) {
        self.speech().close();
    }

    /// A packet as it goes out, if it can.
    pub(super) fn encrypt(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut keys = self.keys();
        match keys.mode {
            EncryptionMode::Unencrypted => Some(packet.to_vec()),
            EncryptionMode::AwaitingKeys => None,
            EncryptionMode::Encrypted => {
                let sealed = keys.dave.as_mut()?.encrypt_opus(packet);
                sealed.ok().map(std::borrow::Cow::into_owned)
            }
        }
    }
}

async fn read_frames(
    state: Arc<DiscordState>,
    mouth: Arc<SimulatedClient>,
    mut outgoing: mpsc::Receiver<ScheduledOutput>,
) {
    while let Some(next) = outgoing.recv().await {
        tokio::time::sleep_until(next.due.into()).await;
        let VoiceOutput::Frame(frame, _) = next.output else {
            return mouth.close();
        };
        let answer = mouth.keys().handle_frame(&frame);
        if let Some(said) = answer {
            state
                .voice
                .state()
                .handle_client_message(mouth.number, said);
        }
        state.notify_changed();
    }
}

impl MemberKeys {
    fn new(user: u64, channel: u64) -> Self {
        Self {
            user,
            channel,
            dave: None,
            mode: EncryptionMode::Unencrypted,
            pending_commit: None,
            downgrade_transition: None,
        }
    }

    /// New keys, for a new group.
    fn new_key_package(&mut self) -> Option<VoiceClientMessage> {
        let (user, channel) = (self.user, self.channel);
        match &mut self.dave {
            Some(dave) => dave.reinit(NonZeroU16::MIN, user, channel, None).ok()?,
            None => {
                self.dave = DaveSession::new(NonZeroU16::MIN, user, channel, None).ok();
            }
        }
        self.pending_commit = None;
        if self.mode == EncryptionMode::Encrypted {
            self.mode = EncryptionMode::AwaitingKeys;
        }
        let package = self.dave.as_mut()?.create_key_package();
        package.ok().map(VoiceClientMessage::KeyPackage)
    }

    /// What a client answers, as <https://daveprotocol.com> has it.
    fn handle_frame(&mut self, frame: &VoiceFrame) -> Option<VoiceClientMessage> {
        match frame {
            VoiceFrame::Json(op::SESSION_DESCRIPTION, data) => {
                if data["dave_protocol_version"] != 1 {
                    return None;
                }
                self.mode = EncryptionMode::AwaitingKeys;
                self.new_key_package()
            }
            VoiceFrame::Json(op::PREPARE_EPOCH, data) if data["epoch"] == 1 => {
                self.new_key_package()
            }
            VoiceFrame::Json(op::PREPARE_TRANSITION, data) => {
                let id = data["transition_id"].as_u64()? as u16;
                self.downgrade_transition = (data["protocol_version"] == 0).then_some(id);
                Some(VoiceClientMessage::TransitionReady(id))
            }
            VoiceFrame::Json(op::EXECUTE_TRANSITION, data) => {
                self.execute_transition(data["transition_id"].as_u64()? as u16);
                None
            }
            VoiceFrame::Binary(op, bytes) => self.handle_group_frame(*op, bytes),
            VoiceFrame::Json(..) | VoiceFrame::Text(_) => None,
        }
    }

    fn handle_group_frame(&mut self, op: u8, bytes: &[u8]) -> Option<VoiceClientMessage> {
        let dave = self.dave.as_mut()?;
        match op {
            op::EXTERNAL_SENDER => {
                let _ = dave.set_external_sender(bytes);
                None
            }
            op::PROPOSALS => {
                let (kind, list) = bytes.split_first()?;
                let kind = match kind {
                    0 => ProposalsOperationType::APPEND,
                    _ => ProposalsOperationType::REVOKE,
                };
                let made = dave.process_proposals(kind, list, None).ok()??;
                let welcome = made.welcome.unwrap_or_default();
                Some(VoiceClientMessage::Commit([made.commit, welcome].concat()))
            }
            op::COMMIT => {
                let (id, commit) = bytes.split_first_chunk()?;
                let id = u16::from_be_bytes(*id);
                self.pending_commit = Some((id, commit.to_vec()));
                Some(VoiceClientMessage::TransitionReady(id))
            }
            op::WELCOME => {
                let (id, welcome) = bytes.split_first_chunk()?;
                match dave.process_welcome(welcome) {
                    Ok(()) => Some(VoiceClientMessage::TransitionReady(u16::from_be_bytes(*id))),
                    // Whoever cannot follow begins anew.
                    Err(_) => self.new_key_package(),
                }
            }
            _ => None,
        }
    }

    fn execute_transition(&mut self, transition: u16) {
        if self.downgrade_transition == Some(transition) {
            self.mode = EncryptionMode::Unencrypted;
            self.downgrade_transition = None;
            self.dave = None;
            return;
        }
        let held = self.pending_commit.take().filter(|it| it.0 == transition);
        if let (Some(dave), Some((_, commit))) = (&mut self.dave, held) {
            let _ = dave.process_commit(&commit);
        }
        self.mode = EncryptionMode::Encrypted;
    }
}
