//! A person's own client: what it makes of the gateway's frames, and its keys.

use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use davey::{DaveSession, ProposalsOperationType};
use serde_json::json;
use tokio::sync::mpsc;

use super::super::rest::State;
use super::call::{MAX_OUT, NewClient};
use super::hear::Said;
use super::speech::Line;
use super::wire::{Frame, Out, Outgoing, op};

/// A person in a call who can be heard.
#[derive(Debug)]
pub(super) struct Mouth {
    /// Of their client.
    pub(super) number: u64,
    pub(super) ssrc: u32,
    keys: Mutex<Keys>,
    line: Mutex<Line>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// The call is not encrypted end to end.
    Open,
    /// It will be, but not yet: nothing is sent.
    Waiting,
    Sealed,
}

#[derive(Debug)]
struct Keys {
    user: u64,
    channel: u64,
    dave: Option<DaveSession>,
    mode: Mode,
    /// A commit that counts once everybody is ready, as official clients change keys.
    held: Option<(u16, Vec<u8>)>,
    /// The transition that ends encryption.
    ending: Option<u16>,
}

impl Mouth {
    /// Brings a person's client into the call they have been let into.
    pub(super) fn enters(
        state: &Arc<State>,
        guild: u64,
        user: u64,
        channel: u64,
        stage: bool,
    ) -> Arc<Self> {
        let (out, outgoing) = mpsc::channel(MAX_OUT);
        let mouth = {
            let mut calls = state.voice.calls();
            let wanted = calls.group(channel, !stage).wanted;
            let number = calls.add(NewClient {
                user,
                guild,
                channel,
                session: format!("person-{user}"),
                token: String::new(),
                version: 8,
                inside: true,
                dave: true,
                mute: false,
                deaf: false,
                out,
            });
            let ssrc = calls.clients[&number].ssrc;
            let mouth = Arc::new(Self {
                number,
                ssrc,
                keys: Mutex::new(Keys::new(user, channel)),
                line: Mutex::new(Line::new(calls.random.u16(..), calls.random.u32(..))),
            });
            calls.mouths.insert(user, Arc::clone(&mouth));
            let description = json!({"dave_protocol_version": u8::from(wanted)});
            calls.enter(number, &description);
            mouth
        };
        state.touch();
        let task = listen(Arc::clone(state), Arc::clone(&mouth), outgoing);
        state.voice.spawn(task);
        mouth
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They have left: nothing more is said.
    pub(super) fn shut(&self) {
        self.line().close();
    }

    /// A packet as it goes out, if it can.
    pub(super) fn seal(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let mut keys = self.keys();
        match keys.mode {
            Mode::Open => Some(packet.to_vec()),
            Mode::Waiting => None,
            Mode::Sealed => {
                let sealed = keys.dave.as_mut()?.encrypt_opus(packet);
                sealed.ok().map(std::borrow::Cow::into_owned)
            }
        }
    }
}

async fn listen(state: Arc<State>, mouth: Arc<Mouth>, mut outgoing: mpsc::Receiver<Outgoing>) {
    while let Some(next) = outgoing.recv().await {
        tokio::time::sleep_until(next.due.into()).await;
        let Out::Frame(frame, _) = next.out else {
            return mouth.shut();
        };
        let answer = mouth.keys().hear(&frame);
        if let Some(said) = answer {
            state.voice.calls().said(mouth.number, said);
        }
        state.touch();
    }
}

impl Keys {
    fn new(user: u64, channel: u64) -> Self {
        Self {
            user,
            channel,
            dave: None,
            mode: Mode::Open,
            held: None,
            ending: None,
        }
    }

    /// New keys, for a new group.
    fn begin(&mut self) -> Option<Said> {
        let (user, channel) = (self.user, self.channel);
        match &mut self.dave {
            Some(dave) => dave.reinit(NonZeroU16::MIN, user, channel, None).ok()?,
            None => {
                self.dave = DaveSession::new(NonZeroU16::MIN, user, channel, None).ok();
            }
        }
        self.held = None;
        if self.mode == Mode::Sealed {
            self.mode = Mode::Waiting;
        }
        let package = self.dave.as_mut()?.create_key_package();
        package.ok().map(Said::KeyPackage)
    }

    /// What a client answers, as <https://daveprotocol.com> has it.
    fn hear(&mut self, frame: &Frame) -> Option<Said> {
        match frame {
            Frame::Json(op::DESCRIPTION, data) => {
                if data["dave_protocol_version"] != 1 {
                    return None;
                }
                self.mode = Mode::Waiting;
                self.begin()
            }
            Frame::Json(op::PREPARE_EPOCH, data) if data["epoch"] == 1 => self.begin(),
            Frame::Json(op::PREPARE_TRANSITION, data) => {
                let id = data["transition_id"].as_u64()? as u16;
                self.ending = (data["protocol_version"] == 0).then_some(id);
                Some(Said::Ready(id))
            }
            Frame::Json(op::EXECUTE_TRANSITION, data) => {
                self.execute(data["transition_id"].as_u64()? as u16);
                None
            }
            Frame::Binary(op, bytes) => self.hear_group(*op, bytes),
            Frame::Json(..) | Frame::Text(_) => None,
        }
    }

    fn hear_group(&mut self, op: u8, bytes: &[u8]) -> Option<Said> {
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
                Some(Said::Commit([made.commit, welcome].concat()))
            }
            op::COMMIT => {
                let (id, commit) = bytes.split_first_chunk()?;
                let id = u16::from_be_bytes(*id);
                self.held = Some((id, commit.to_vec()));
                Some(Said::Ready(id))
            }
            op::WELCOME => {
                let (id, welcome) = bytes.split_first_chunk()?;
                match dave.process_welcome(welcome) {
                    Ok(()) => Some(Said::Ready(u16::from_be_bytes(*id))),
                    // Whoever cannot follow begins anew.
                    Err(_) => self.begin(),
                }
            }
            _ => None,
        }
    }

    fn execute(&mut self, transition: u16) {
        if self.ending == Some(transition) {
            self.mode = Mode::Open;
            self.ending = None;
            self.dave = None;
            return;
        }
        let held = self.held.take().filter(|it| it.0 == transition);
        if let (Some(dave), Some((_, commit))) = (&mut self.dave, held) {
            let _ = dave.process_commit(&commit);
        }
        self.mode = Mode::Sealed;
    }
}
