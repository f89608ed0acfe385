//! End-to-end encryption (DAVE, <https://daveprotocol.com>): the group and its keys (MLS, RFC 9420,
//! <https://www.rfc-editor.org/rfc/rfc9420>), the replies to the gateway's DAVE events, and
//! encrypting and decrypting frames.
//!
//! A call is unencrypted (protocol version 0) or encrypted. It changes between these in
//! transitions: each is prepared, every member reports that it is ready, and then it is executed.
//! Keys for receiving are valid from the moment a transition is prepared, the key for sending from
//! its execution.

use std::collections::HashSet;
use std::num::NonZeroU16;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use davey::{DaveSession, MediaType, OPUS_SILENCE_PACKET, ProposalsOperationType};
use net::ErrorCause;

use super::gateway_protocol::{ClientEvent, DaveEvent, MAX_DAVE_VERSION};

/// How long both encrypted and unencrypted frames are accepted after a call changed between the
/// two: some are still in flight
/// (<https://daveprotocol.com/#downgrade-to-transport-only-encryption>).
const MIXED_FRAMES_WINDOW: Duration = Duration::from_secs(10);

/// Transitions that are prepared and not yet executed.
const MAX_PENDING_TRANSITIONS: usize = 16;

/// Users of a call.
const MAX_USERS: usize = 10_000;

/// The last two bytes of an encrypted frame.
const FRAME_MARKER: [u8; 2] = [0xfa, 0xfa];

/// The fewest bytes that follow the payload of an encrypted frame: tag, nonce, size, marker.
const MIN_TRAILER_BYTES: usize = 12;

/// The frame can't be decrypted with the keys of now. Keys that come later may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DecryptError;

/// The DAVE group of a call and its keys.
pub struct DaveState {
    user_id: u64,
    channel_id: u64,
    session: Option<DaveSession>,
    /// The protocol version in use; 0 is unencrypted.
    version: u16,
    /// The version of the next epoch.
    next_version: u16,
    /// Transition id and protocol version.
    pending_transitions: Vec<(u16, u16)>,
    /// Until then encrypted and unencrypted frames are both accepted.
    mixed_until: Option<Instant>,
    external_sender: Option<Bytes>,
    users: HashSet<u64>,
    change_count: u64,
    epoch_count: u64,
    error_count: u64,
}

impl DaveState {
    /// The state of a user in a channel before a session with the voice server.
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

    /// Counts changes after which frames may decrypt that did not before.
    #[must_use]
    pub fn change_count(&self) -> u64 {
        self.change_count
    }

    /// Epochs that were joined.
    #[must_use]
    pub fn epoch_count(&self) -> u64 {
        self.epoch_count
    }

    /// DAVE messages that could not be processed.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.error_count
    }

    /// Begins a new session with the voice server; `version` comes from the Session Description.
    /// Earlier keys stay valid if the channel is the same. Returns the replies, in order.
    pub fn start_session(&mut self, channel_id: u64, version: u16) -> Vec<ClientEvent> {
        if channel_id != self.channel_id {
            self.channel_id = channel_id;
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

    /// These users are in the call. Only they may be added to the group.
    pub fn add_users(&mut self, user_ids: impl IntoIterator<Item = u64>) {
        for user_id in user_ids {
            if self.users.len() < MAX_USERS {
                self.users.insert(user_id);
            }
        }
    }

    /// Forgets who is in the call.
    pub fn clear_users(&mut self) {
        self.users.clear();
    }

    /// This user has left the call.
    pub fn remove_user(&mut self, user_id: u64) {
        self.users.remove(&user_id);
    }

    /// Processes a DAVE event. Returns the replies, in order.
    pub fn handle_event(&mut self, event: DaveEvent, now: Instant) -> Vec<ClientEvent> {
        self.change_count += 1;
        match event {
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
                is_append,
                proposals,
            } => return self.process_proposals(is_append, &proposals),
            DaveEvent::Commit {
                transition_id,
                commit,
            } => {
                let Some(session) = &mut self.session else {
                    return Vec::new();
                };
                return match session.process_commit(&commit) {
                    Ok(true) => self.on_group_joined(transition_id, now),
                    // A commit of a group that we are not a member of yet.
                    Ok(false) => Vec::new(),
                    Err(error) => self.recover_from_invalid(transition_id, &error),
                };
            }
            DaveEvent::Welcome {
                transition_id,
                welcome,
            } => {
                let recognized = self.recognized_users();
                let Some(session) = &mut self.session else {
                    return Vec::new();
                };
                return match session.process_welcome(&welcome, Some(&recognized)) {
                    Ok(()) => self.on_group_joined(transition_id, now),
                    Err(error) => self.recover_from_invalid(transition_id, &error),
                };
            }
            DaveEvent::PrepareTransition {
                transition_id,
                version,
            } => return self.prepare_transition(transition_id, version, now),
            DaveEvent::ExecuteTransition { transition_id } => {
                self.execute_transition(transition_id, now);
            }
        }
        Vec::new()
    }

    /// Drops the group after an internal error and joins it again.
    pub fn reset_group(&mut self) -> Vec<ClientEvent> {
        self.error_count += 1;
        self.change_count += 1;
        self.session = None;
        if self.next_version == 0 {
            return Vec::new();
        }
        self.rejoin_group()
    }

    /// Decrypts a frame of this user's stream. An unencrypted frame is returned as it is if the
    /// call allows it; packets of silence are always sent unencrypted.
    ///
    /// # Errors
    ///
    /// [`DecryptError`] if no key of this user decrypts it, or it is unencrypted and must not be.
    pub fn decrypt(
        &mut self,
        user_id: u64,
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
            && let Some(opus) = decrypt_frame(session, user_id, frame)
        {
            return Ok(opus);
        }
        // In an unencrypted call a frame may look encrypted by chance. During a change it more
        // likely is.
        let is_changing = self.next_version != 0
            || !self.pending_transitions.is_empty()
            || self.is_in_mixed_window(now);
        if self.version == 0 && !is_changing {
            return Ok(Bytes::copy_from_slice(frame));
        }
        Err(DecryptError)
    }

    /// Finds the user whose key decrypts a frame, trying at most `max_trials` keys. Returns the
    /// user with the decrypted frame, and how many keys were tried.
    ///
    /// The gateway may announce the user of a stream late; a key that decrypts is proof.
    pub fn identify_sender(
        &mut self,
        frame: &[u8],
        max_trials: usize,
    ) -> (Option<(u64, Bytes)>, usize) {
        let Some(session) = self.session.as_mut().filter(|_| is_encrypted_frame(frame)) else {
            return (None, 0);
        };
        let members = session.get_user_ids().unwrap_or_default();
        let others = members.into_iter().filter(|it| *it != self.user_id);
        let mut trials = 0;
        for user_id in others.take(max_trials) {
            trials += 1;
            if let Some(opus) = decrypt_frame(session, user_id, frame) {
                return (Some((user_id, opus)), trials);
            }
        }
        (None, trials)
    }

    /// Whether [`encrypt`](Self::encrypt) would succeed: the call is unencrypted or there is a key.
    #[must_use]
    pub fn can_encrypt(&self) -> bool {
        let has_key = self.session.as_ref().is_some_and(DaveSession::can_encrypt);
        self.version == 0 || has_key
    }

    /// Encrypts a packet to be sent; `None` if there is no key. Copies it if the call is
    /// unencrypted.
    pub fn encrypt(&mut self, opus: &[u8]) -> Option<Vec<u8>> {
        if self.version == 0 {
            return Some(opus.to_vec());
        }
        let session = self.session.as_mut()?;
        session.encrypt_opus(opus).ok().map(Into::into)
    }

    fn accept_unencrypted(&self, frame: &[u8], now: Instant) -> Result<Bytes, DecryptError> {
        let is_downgrading = self
            .pending_transitions
            .iter()
            .any(|(_, version)| *version == 0);
        if self.version == 0 || is_downgrading || self.is_in_mixed_window(now) {
            return Ok(Bytes::copy_from_slice(frame));
        }
        Err(DecryptError)
    }

    fn is_in_mixed_window(&self, now: Instant) -> bool {
        self.mixed_until.is_some_and(|until| now < until)
    }

    fn recognized_users(&self) -> Vec<u64> {
        let own = std::iter::once(self.user_id);
        self.users.iter().copied().chain(own).collect()
    }

    /// Leaves the group and offers a key package, with which the others can add us again.
    fn rejoin_group(&mut self) -> Vec<ClientEvent> {
        match self.try_rejoin_group() {
            Ok(package) => vec![ClientEvent::KeyPackage(package)],
            Err(error) => {
                self.session = None;
                tracing::warn!(%error, "can't join the DAVE group");
                self.error_count += 1;
                Vec::new()
            }
        }
    }

    fn try_rejoin_group(&mut self) -> Result<Vec<u8>, ErrorCause> {
        let version =
            NonZeroU16::new(self.next_version.min(MAX_DAVE_VERSION)).ok_or("protocol version 0")?;
        let (user_id, channel_id) = (self.user_id, self.channel_id);
        let session = match &mut self.session {
            Some(session) => {
                session
                    .reinit(version, user_id, channel_id, None)
                    .map_err(|error| dave_error(&error))?;
                session
            }
            none => {
                let session = DaveSession::new(version, user_id, channel_id, None);
                let session = none.insert(session.map_err(|error| dave_error(&error))?);
                if let Some(package) = &self.external_sender {
                    session
                        .set_external_sender(package)
                        .map_err(|error| dave_error(&error))?;
                }
                session
            }
        };
        session
            .create_key_package()
            .map_err(|error| dave_error(&error))
    }

    fn process_proposals(&mut self, is_append: bool, proposals: &[u8]) -> Vec<ClientEvent> {
        let recognized = self.recognized_users();
        let Some(session) = &mut self.session else {
            return Vec::new();
        };
        let operation = if is_append {
            ProposalsOperationType::APPEND
        } else {
            ProposalsOperationType::REVOKE
        };
        match session.process_proposals(operation, proposals, Some(&recognized)) {
            Ok(None) => Vec::new(),
            Ok(Some(proposed)) => vec![ClientEvent::Commit {
                commit: proposed.commit,
                welcome: proposed.welcome,
            }],
            Err(error) => {
                self.record_error(&error);
                Vec::new()
            }
        }
    }

    /// We have joined a new epoch of the group.
    fn on_group_joined(&mut self, transition_id: u16, now: Instant) -> Vec<ClientEvent> {
        self.epoch_count += 1;
        let version = self.next_version;
        self.prepare_transition(transition_id, version, now)
    }

    fn prepare_transition(
        &mut self,
        transition_id: u16,
        version: u16,
        now: Instant,
    ) -> Vec<ClientEvent> {
        if let Some(session) = &mut self.session
            && let Err(error) = session.prepare_transition(transition_id, version)
        {
            return self.recover_from_invalid(transition_id, &error);
        }
        if version == 0 {
            self.next_version = 0;
        }
        // Transition 0 is executed at once, without Execute Transition.
        if transition_id == 0 {
            self.set_version(version, now);
            return Vec::new();
        }
        if self.pending_transitions.len() >= MAX_PENDING_TRANSITIONS {
            self.pending_transitions.remove(0);
        }
        self.pending_transitions
            .retain(|(known, _)| *known != transition_id);
        self.pending_transitions.push((transition_id, version));
        vec![ClientEvent::TransitionReady { transition_id }]
    }

    fn execute_transition(&mut self, transition_id: u16, now: Instant) {
        let index = self
            .pending_transitions
            .iter()
            .position(|(it, _)| *it == transition_id);
        let Some(index) = index else {
            return;
        };
        let (_, version) = self.pending_transitions.remove(index);
        if let Some(session) = &mut self.session
            && let Err(error) = session.execute_transition(transition_id)
        {
            self.record_error(&error);
        }
        self.set_version(version, now);
    }

    /// The call uses this version from now on.
    fn set_version(&mut self, version: u16, now: Instant) {
        if (self.version == 0) != (version == 0) {
            self.mixed_until = Some(now + MIXED_FRAMES_WINDOW);
        }
        self.version = version;
    }

    /// A commit or Welcome was invalid: reports it, so that the gateway has us removed from
    /// the group and added again.
    fn recover_from_invalid(
        &mut self,
        transition_id: u16,
        error: &(dyn std::error::Error + 'static),
    ) -> Vec<ClientEvent> {
        self.record_error(error);
        let mut replies = vec![ClientEvent::InvalidCommitWelcome { transition_id }];
        replies.extend(self.rejoin_group());
        replies
    }

    fn record_error(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.error_count += 1;
        let cause = dave_error(&error);
        tracing::debug!(%cause, "can't process a DAVE message");
    }
}

/// Shows no keys.
impl std::fmt::Debug for DaveState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DaveState")
            .field("version", &self.version)
            .field("epochs", &self.epoch_count)
            .finish_non_exhaustive()
    }
}

/// Locks the state, even if a thread panicked while it held the lock.
pub(super) fn lock_dave(dave: &Mutex<DaveState>) -> MutexGuard<'_, DaveState> {
    dave.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same without waiting: `None` if the lock is held.
pub(super) fn try_lock_dave(dave: &Mutex<DaveState>) -> Option<MutexGuard<'_, DaveState>> {
    match dave.try_lock() {
        Ok(dave) => Some(dave),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// The kind of an error of the DAVE library, without its text.
fn dave_error(error: &impl std::fmt::Debug) -> ErrorCause {
    ErrorCause::with_variant_name("encryption", error)
}

/// Whether a frame ends like an encrypted one (<https://daveprotocol.com/#payload-format>).
fn is_encrypted_frame(frame: &[u8]) -> bool {
    let Some((rest, marker)) = frame.split_last_chunk::<2>() else {
        return false;
    };
    let trailer = usize::from(rest.last().copied().unwrap_or(0));
    *marker == FRAME_MARKER && (MIN_TRAILER_BYTES..=frame.len()).contains(&trailer)
}

fn decrypt_frame(session: &mut DaveSession, user_id: u64, frame: &[u8]) -> Option<Bytes> {
    let mut opus = vec![0; frame.len()];
    let length = session.decrypt_into(user_id, MediaType::AUDIO, frame, &mut opus);
    opus.truncate(length.ok()?);
    (!opus.is_empty()).then(|| opus.into())
}
