//! End-to-end encryption (DAVE, <https://daveprotocol.com>): what the gateway says about the group
//! and its keys, what is answered, and what packets are under the keys.
//!
//! A call is *plain* (protocol version 0) or encrypted. It changes in transitions: each is prepared,
//! everybody says that they are ready, and then it is executed. Keys to hear with count from the
//! moment a transition is prepared, the one to speak with from its execution.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use bytes::Bytes;
use davey::{DaveSession, MediaType, OPUS_SILENCE_PACKET, ProposalsOperationType};

use super::gateway_protocol::{ClientEvent, DaveEvent};
use net::ErrorCause;

/// The newest version of the protocol that we speak.
pub const MAX_DAVE_VERSION: u16 = davey::DAVE_PROTOCOL_VERSION;

/// How long packets of before are still heard once a call is encrypted, or no longer: they were
/// under way (<https://daveprotocol.com/#downgrade-to-transport-only-encryption>).
const MIXED_FRAMES_WINDOW: Duration = Duration::from_secs(10);

/// Transitions that are prepared and not executed.
const MAX_PENDING_TRANSITIONS: usize = 16;

/// People of a call.
const MAX_USERS: usize = 10_000;

/// The end of an encrypted frame.
const FRAME_MARKER: [u8; 2] = [0xfa, 0xfa];

/// The least bytes that follow the payload of an encrypted frame: tag, nonce, size, marker.
const MIN_TRAILER_BYTES: usize = 12;

/// Why a frame can't be heard now. Perhaps later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DecryptError;

/// The keys of a call.
pub struct DaveState {
    user_id: u64,
    channel_id: u64,
    session: Option<DaveSession>,
    /// The version that is in use; 0 is none.
    version: u16,
    /// The version of the group that is being made.
    next_version: u16,
    pending_transitions: Vec<(u16, u16)>,
    /// Until then plain and encrypted frames may come: they were under way.
    mixed_until: Option<Instant>,
    external_sender: Option<Bytes>,
    users: HashSet<u64>,
    change_count: u64,
    epoch_count: u64,
    error_count: u64,
}

impl DaveState {
    /// No keys yet, for this user in this channel.
    #[must_use]
    pub fn new(user_id: u64, channel_id: u64) -> Self {
        Self {
            user_id,
            channel_id,
            session: None,
            version: 0,
            next_version: 0,
            pending_transitions: Vec::new(),
            mixed_until: None,
            external_sender: None,
            users: HashSet::new(),
            change_count: 0,
            epoch_count: 0,
            error_count: 0,
        }
    }

    /// How often something has changed that may open what was shut.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.change_count
    }

    /// Epochs of groups that were joined.
    #[must_use]
    pub fn epoch_count(&self) -> u64 {
        self.epoch_count
    }

    /// Messages that could not be made use of.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.error_count
    }

    /// A new session with the voice server begins, in a call with this version. Keys from before
    /// still open what they open, as long as it is the same channel.
    pub fn start_session(&mut self, channel: u64, version: u16) -> Vec<ClientEvent> {
        if channel != self.channel_id {
            self.channel_id = channel;
            self.session = None;
        }
        self.change_count += 1;
        self.pending_transitions.clear();
        self.mixed_until = None;
        self.version = version;
        self.next_version = version;
        if version == 0 {
            self.session = None;
            return Vec::new();
        }
        self.rejoin_group()
    }

    /// These people are in the call.
    pub fn add_users(&mut self, people: impl IntoIterator<Item = u64>) {
        for person in people {
            if self.users.len() < MAX_USERS {
                self.users.insert(person);
            }
        }
    }

    /// Nobody is known to be in the call.
    pub fn clear_users(&mut self) {
        self.users.clear();
    }

    /// Somebody has left the call.
    pub fn remove_user(&mut self, person: u64) {
        self.users.remove(&person);
    }

    /// The gateway says something about encryption. Gives what is to be answered, in order.
    pub fn handle_event(&mut self, said: DaveEvent, now: Instant) -> Vec<ClientEvent> {
        self.change_count += 1;
        match said {
            DaveEvent::PrepareEpoch { version, epoch } => {
                self.next_version = version;
                if epoch == 1 && version != 0 {
                    return self.rejoin_group();
                }
            }
            DaveEvent::ExternalSender(package) => {
                if let Some(session) = &mut self.session
                    && let Err(error) = session.set_external_sender(&package)
                {
                    self.record_error(&error);
                }
                self.external_sender = Some(package);
            }
            DaveEvent::Proposals {
                is_append: append,
                proposals,
            } => return self.process_proposals(append, &proposals),
            DaveEvent::Commit {
                transition_id: transition,
                commit,
            } => {
                let Some(session) = &mut self.session else {
                    return Vec::new();
                };
                return match session.process_commit(&commit) {
                    Ok(true) => self.on_group_joined(transition, now),
                    // It is about a group that we have not been let into yet.
                    Ok(false) => Vec::new(),
                    Err(error) => self.recover_from_invalid(transition, &error),
                };
            }
            DaveEvent::Welcome {
                transition_id: transition,
                welcome,
            } => {
                let recognized = self.recognized_users();
                let Some(session) = &mut self.session else {
                    return Vec::new();
                };
                return match session.process_welcome(&welcome, Some(&recognized)) {
                    Ok(()) => self.on_group_joined(transition, now),
                    Err(error) => self.recover_from_invalid(transition, &error),
                };
            }
            DaveEvent::PrepareTransition {
                transition_id: transition,
                version,
            } => return self.prepare_transition(transition, version, now),
            DaveEvent::ExecuteTransition {
                transition_id: transition,
            } => self.execute_transition(transition, now),
        }
        Vec::new()
    }

    /// Whatever happened to it: the group is joined anew.
    pub fn reset_group(&mut self) -> Vec<ClientEvent> {
        self.error_count += 1;
        self.change_count += 1;
        self.session = None;
        if self.next_version == 0 {
            return Vec::new();
        }
        self.rejoin_group()
    }

    /// What a frame of somebody's stream says, now.
    ///
    /// # Errors
    ///
    /// [`DecryptError`] if no key opens it, or it is plain and must not be.
    pub fn decrypt(
        &mut self,
        person: u64,
        frame: &[u8],
        now: Instant,
    ) -> Result<Bytes, DecryptError> {
        if frame == OPUS_SILENCE_PACKET {
            return Ok(Bytes::from_static(&OPUS_SILENCE_PACKET));
        }
        if !is_encrypted_frame(frame) {
            return self.accept_unencrypted(frame, now);
        }
        if let Some(session) = &mut self.session
            && let Some(opened) = decrypt_frame(session, person, frame)
        {
            return Ok(opened);
        }
        // In a plain call a frame may end so by chance. While it changes, it rather is encrypted.
        let changing = self.next_version != 0
            || !self.pending_transitions.is_empty()
            || self.accepts_unencrypted_too(now);
        if self.version == 0 && !changing {
            return Ok(Bytes::copy_from_slice(frame));
        }
        Err(DecryptError)
    }

    /// Whose frame it is, and what it says, by whose key opens it. Nobody but the gateway says whose
    /// a stream is, and it may say so late; the key can't be wrong. At most so many keys are tried;
    /// says how many were.
    pub fn identify_sender(&mut self, frame: &[u8], most: usize) -> (Option<(u64, Bytes)>, usize) {
        let Some(session) = self.session.as_mut().filter(|_| is_encrypted_frame(frame)) else {
            return (None, 0);
        };
        let people = session.get_user_ids().unwrap_or_default();
        let others = people.into_iter().filter(|it| *it != self.user_id);
        let mut tried = 0;
        for person in others.take(most) {
            tried += 1;
            if let Some(opus) = decrypt_frame(session, person, frame) {
                return (Some((person, opus)), tried);
            }
        }
        (None, tried)
    }

    /// Whether we can speak.
    #[must_use]
    pub fn can_encrypt(&self) -> bool {
        let has_key = self.session.as_ref().is_some_and(DaveSession::can_encrypt);
        self.version == 0 || has_key
    }

    /// Encrypts a packet of ours; none if there is no key to do it with.
    pub fn encrypt(&mut self, opus: &[u8]) -> Option<Vec<u8>> {
        if self.version == 0 {
            return Some(opus.to_vec());
        }
        let session = self.session.as_mut()?;
        session.encrypt_opus(opus).ok().map(Into::into)
    }

    fn accept_unencrypted(&self, frame: &[u8], now: Instant) -> Result<Bytes, DecryptError> {
        let ending = self
            .pending_transitions
            .iter()
            .any(|(_, version)| *version == 0);
        if self.version == 0 || ending || self.accepts_unencrypted_too(now) {
            return Ok(Bytes::copy_from_slice(frame));
        }
        Err(DecryptError)
    }

    fn accepts_unencrypted_too(&self, now: Instant) -> bool {
        self.mixed_until.is_some_and(|until| now < until)
    }

    fn recognized_users(&self) -> Vec<u64> {
        let us = std::iter::once(self.user_id);
        self.users.iter().copied().chain(us).collect()
    }

    /// A new group of the coming version, with a key package to be let into it.
    fn rejoin_group(&mut self) -> Vec<ClientEvent> {
        match self.try_rejoin_group() {
            Ok(package) => vec![ClientEvent::KeyPackage(package)],
            Err(error) => {
                self.session = None;
                tracing::warn!(%error, "no group for end-to-end encryption");
                self.error_count += 1;
                Vec::new()
            }
        }
    }

    fn try_rejoin_group(&mut self) -> Result<Vec<u8>, ErrorCause> {
        let version =
            NonZeroU16::new(self.next_version.min(MAX_DAVE_VERSION)).ok_or("no version")?;
        let (user, channel) = (self.user_id, self.channel_id);
        let session = match &mut self.session {
            Some(session) => {
                let again = session.reinit(version, user, channel, None);
                again.map_err(|error| ErrorCause::with_variant_name("encryption", &error))?;
                session
            }
            none => {
                let session = DaveSession::new(version, user, channel, None);
                let session =
                    session.map_err(|error| ErrorCause::with_variant_name("encryption", &error))?;
                let session = none.insert(session);
                if let Some(package) = &self.external_sender {
                    let set = session.set_external_sender(package);
                    set.map_err(|error| ErrorCause::with_variant_name("encryption", &error))?;
                }
                session
            }
        };
        let package = session.create_key_package();
        package.map_err(|error| ErrorCause::with_variant_name("encryption", &error))
    }

    fn process_proposals(&mut self, append: bool, proposals: &[u8]) -> Vec<ClientEvent> {
        let recognized = self.recognized_users();
        let Some(session) = &mut self.session else {
            return Vec::new();
        };
        let kind = if append {
            ProposalsOperationType::APPEND
        } else {
            ProposalsOperationType::REVOKE
        };
        match session.process_proposals(kind, proposals, Some(&recognized)) {
            Ok(None) => Vec::new(),
            Ok(Some(made)) => vec![ClientEvent::Commit {
                commit: made.commit,
                welcome: made.welcome,
            }],
            Err(error) => {
                self.record_error(&error);
                Vec::new()
            }
        }
    }

    /// We are in a new epoch of the group.
    fn on_group_joined(&mut self, transition: u16, now: Instant) -> Vec<ClientEvent> {
        self.epoch_count += 1;
        let version = self.next_version;
        self.prepare_transition(transition, version, now)
    }

    fn prepare_transition(
        &mut self,
        transition: u16,
        version: u16,
        now: Instant,
    ) -> Vec<ClientEvent> {
        if let Some(session) = &mut self.session
            && let Err(error) = session.prepare_transition(transition, version)
        {
            return self.recover_from_invalid(transition, &error);
        }
        if version == 0 {
            self.next_version = 0;
        }
        if transition == 0 {
            self.set_version(version, now);
            return Vec::new();
        }
        if self.pending_transitions.len() >= MAX_PENDING_TRANSITIONS {
            self.pending_transitions.remove(0);
        }
        self.pending_transitions
            .retain(|(known, _)| *known != transition);
        self.pending_transitions.push((transition, version));
        vec![ClientEvent::TransitionReady {
            transition_id: transition,
        }]
    }

    fn execute_transition(&mut self, transition: u16, now: Instant) {
        let place = self
            .pending_transitions
            .iter()
            .position(|(it, _)| *it == transition);
        let Some(place) = place else {
            return;
        };
        let (_, version) = self.pending_transitions.remove(place);
        if let Some(session) = &mut self.session
            && let Err(error) = session.execute_transition(transition)
        {
            self.record_error(&error);
        }
        self.set_version(version, now);
    }

    /// The call has this version from now on.
    fn set_version(&mut self, version: u16, now: Instant) {
        if (self.version == 0) != (version == 0) {
            self.mixed_until = Some(now + MIXED_FRAMES_WINDOW);
        }
        self.version = version;
    }

    /// We could not follow the group: the gateway lets us in anew.
    fn recover_from_invalid(
        &mut self,
        transition: u16,
        error: &(dyn std::error::Error + 'static),
    ) -> Vec<ClientEvent> {
        self.record_error(error);
        let mut said = vec![ClientEvent::InvalidCommitWelcome {
            transition_id: transition,
        }];
        said.extend(self.rejoin_group());
        said
    }

    fn record_error(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.error_count += 1;
        let cause = ErrorCause::with_variant_name("encryption", &error);
        tracing::debug!(%cause, "a message about encryption is of no use");
    }
}

/// The keys themselves are nobody's business.
impl std::fmt::Debug for DaveState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("version", &self.version)
            .field("epochs", &self.epoch_count)
            .finish_non_exhaustive()
    }
}

/// Whether a frame has the end of an encrypted one
/// (<https://daveprotocol.com/#payload-format>).
fn is_encrypted_frame(frame: &[u8]) -> bool {
    let Some((rest, marker)) = frame.split_last_chunk::<2>() else {
        return false;
    };
    let trailer = usize::from(rest.last().copied().unwrap_or(0));
    *marker == FRAME_MARKER && (MIN_TRAILER_BYTES..=frame.len()).contains(&trailer)
}

fn decrypt_frame(session: &mut DaveSession, person: u64, frame: &[u8]) -> Option<Bytes> {
    let mut opus = vec![0; frame.len()];
    let opened = session.decrypt_into(person, MediaType::AUDIO, frame, &mut opus);
    opus.truncate(opened.ok()?);
    (!opus.is_empty()).then(|| opus.into())
}
