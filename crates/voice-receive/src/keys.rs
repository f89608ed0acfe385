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

use super::wire::{Dave, Said};
use net::Cause;

/// The newest version of the protocol that we speak.
pub const VERSION: u16 = davey::DAVE_PROTOCOL_VERSION;

/// How long packets of before are still heard once a call is encrypted, or no longer: they were
/// under way (<https://daveprotocol.com/#downgrade-to-transport-only-encryption>).
const UNDER_WAY: Duration = Duration::from_secs(10);

/// Transitions that are prepared and not executed.
const MAX_PENDING: usize = 16;

/// People of a call.
const MAX_PEOPLE: usize = 10_000;

/// The end of an encrypted frame.
const MARKER: [u8; 2] = [0xfa, 0xfa];

/// The least bytes that follow the payload of an encrypted frame: tag, nonce, size, marker.
const LEAST_TRAILER: usize = 12;

/// Why a frame can't be heard now. Perhaps later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shut;

/// The keys of a call.
pub struct Keys {
    user: u64,
    channel: u64,
    session: Option<DaveSession>,
    /// The version that is in use; 0 is none.
    version: u16,
    /// The version of the group that is being made.
    coming: u16,
    pending: Vec<(u16, u16)>,
    /// Until then plain and encrypted frames may come: they were under way.
    mixed_until: Option<Instant>,
    external_sender: Option<Bytes>,
    people: HashSet<u64>,
    changes: u64,
    epochs: u64,
    bad: u64,
}

impl Keys {
    /// No keys yet, for this user in this channel.
    #[must_use]
    pub fn new(user: u64, channel: u64) -> Self {
        Self {
            user,
            channel,
            session: None,
            version: 0,
            coming: 0,
            pending: Vec::new(),
            mixed_until: None,
            external_sender: None,
            people: HashSet::new(),
            changes: 0,
            epochs: 0,
            bad: 0,
        }
    }

    /// How often something has changed that may open what was shut.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Epochs of groups that were joined.
    #[must_use]
    pub fn epochs(&self) -> u64 {
        self.epochs
    }

    /// Messages that could not be made use of.
    #[must_use]
    pub fn bad(&self) -> u64 {
        self.bad
    }

    /// A new session with the voice server begins, in a call with this version. Keys from before
    /// still open what they open, as long as it is the same channel.
    pub fn begin(&mut self, channel: u64, version: u16) -> Vec<Said> {
        if channel != self.channel {
            self.channel = channel;
            self.session = None;
        }
        self.changes += 1;
        self.pending.clear();
        self.mixed_until = None;
        self.version = version;
        self.coming = version;
        if version == 0 {
            self.session = None;
            return Vec::new();
        }
        self.group_anew()
    }

    /// These people are in the call.
    pub fn come(&mut self, people: impl IntoIterator<Item = u64>) {
        for person in people {
            if self.people.len() < MAX_PEOPLE {
                self.people.insert(person);
            }
        }
    }

    /// Nobody is known to be in the call.
    pub fn forget_people(&mut self) {
        self.people.clear();
    }

    /// Somebody has left the call.
    pub fn leave(&mut self, person: u64) {
        self.people.remove(&person);
    }

    /// The gateway says something about encryption. Gives what is to be answered, in order.
    pub fn on(&mut self, said: Dave, now: Instant) -> Vec<Said> {
        self.changes += 1;
        match said {
            Dave::PrepareEpoch { version, epoch } => {
                self.coming = version;
                if epoch == 1 && version != 0 {
                    return self.group_anew();
                }
            }
            Dave::ExternalSender(package) => {
                if let Some(session) = &mut self.session
                    && let Err(error) = session.set_external_sender(&package)
                {
                    self.useless(&error);
                }
                self.external_sender = Some(package);
            }
            Dave::Proposals { append, proposals } => return self.propose(append, &proposals),
            Dave::Commit { transition, commit } => {
                let Some(session) = &mut self.session else {
                    return Vec::new();
                };
                return match session.process_commit(&commit) {
                    Ok(true) => self.joined(transition, now),
                    // It is about a group that we have not been let into yet.
                    Ok(false) => Vec::new(),
                    Err(error) => self.recover(transition, &error),
                };
            }
            Dave::Welcome {
                transition,
                welcome,
            } => {
                let recognized = self.recognized();
                let Some(session) = &mut self.session else {
                    return Vec::new();
                };
                return match session.process_welcome(&welcome, Some(&recognized)) {
                    Ok(()) => self.joined(transition, now),
                    Err(error) => self.recover(transition, &error),
                };
            }
            Dave::PrepareTransition {
                transition,
                version,
            } => return self.prepare(transition, version, now),
            Dave::ExecuteTransition { transition } => self.execute(transition, now),
        }
        Vec::new()
    }

    /// Whatever happened to it: the group is joined anew.
    pub fn start_over(&mut self) -> Vec<Said> {
        self.bad += 1;
        self.changes += 1;
        self.session = None;
        if self.coming == 0 {
            return Vec::new();
        }
        self.group_anew()
    }

    /// What a frame of somebody's stream says, now.
    ///
    /// # Errors
    ///
    /// [`Shut`] if no key opens it, or it is plain and must not be.
    pub fn open(&mut self, person: u64, frame: &[u8], now: Instant) -> Result<Bytes, Shut> {
        if frame == OPUS_SILENCE_PACKET {
            return Ok(Bytes::from_static(&OPUS_SILENCE_PACKET));
        }
        if !is_sealed(frame) {
            return self.plain(frame, now);
        }
        if let Some(session) = &mut self.session
            && let Some(opened) = opened(session, person, frame)
        {
            return Ok(opened);
        }
        // In a plain call a frame may end so by chance. While it changes, it rather is encrypted.
        let changing = self.coming != 0 || !self.pending.is_empty() || self.is_mixed(now);
        if self.version == 0 && !changing {
            return Ok(Bytes::copy_from_slice(frame));
        }
        Err(Shut)
    }

    /// Whose frame it is, and what it says, by whose key opens it. Nobody but the gateway says whose
    /// a stream is, and it may say so late; the key can't be wrong. At most so many keys are tried;
    /// says how many were.
    pub fn whose(&mut self, frame: &[u8], most: usize) -> (Option<(u64, Bytes)>, usize) {
        let Some(session) = self.session.as_mut().filter(|_| is_sealed(frame)) else {
            return (None, 0);
        };
        let people = session.get_user_ids().unwrap_or_default();
        let others = people.into_iter().filter(|it| *it != self.user);
        let mut tried = 0;
        for person in others.take(most) {
            tried += 1;
            if let Some(opus) = opened(session, person, frame) {
                return (Some((person, opus)), tried);
            }
        }
        (None, tried)
    }

    /// Whether we can speak.
    #[must_use]
    pub fn can_seal(&self) -> bool {
        let has_key = self.session.as_ref().is_some_and(DaveSession::can_encrypt);
        self.version == 0 || has_key
    }

    /// Encrypts a packet of ours; none if there is no key to do it with.
    pub fn seal(&mut self, opus: &[u8]) -> Option<Vec<u8>> {
        if self.version == 0 {
            return Some(opus.to_vec());
        }
        let session = self.session.as_mut()?;
        session.encrypt_opus(opus).ok().map(Into::into)
    }

    fn plain(&self, frame: &[u8], now: Instant) -> Result<Bytes, Shut> {
        let ending = self.pending.iter().any(|(_, version)| *version == 0);
        if self.version == 0 || ending || self.is_mixed(now) {
            return Ok(Bytes::copy_from_slice(frame));
        }
        Err(Shut)
    }

    fn is_mixed(&self, now: Instant) -> bool {
        self.mixed_until.is_some_and(|until| now < until)
    }

    fn recognized(&self) -> Vec<u64> {
        let us = std::iter::once(self.user);
        self.people.iter().copied().chain(us).collect()
    }

    /// A new group of the coming version, with a key package to be let into it.
    fn group_anew(&mut self) -> Vec<Said> {
        match self.try_group_anew() {
            Ok(package) => vec![Said::KeyPackage(package)],
            Err(error) => {
                self.session = None;
                tracing::warn!(%error, "no group for end-to-end encryption");
                self.bad += 1;
                Vec::new()
            }
        }
    }

    fn try_group_anew(&mut self) -> Result<Vec<u8>, Cause> {
        let version = NonZeroU16::new(self.coming.min(VERSION)).ok_or("no version")?;
        let (user, channel) = (self.user, self.channel);
        let session = match &mut self.session {
            Some(session) => {
                let again = session.reinit(version, user, channel, None);
                again.map_err(|error| Cause::named("encryption", &error))?;
                session
            }
            none => {
                let session = DaveSession::new(version, user, channel, None);
                let session = session.map_err(|error| Cause::named("encryption", &error))?;
                let session = none.insert(session);
                if let Some(package) = &self.external_sender {
                    let set = session.set_external_sender(package);
                    set.map_err(|error| Cause::named("encryption", &error))?;
                }
                session
            }
        };
        let package = session.create_key_package();
        package.map_err(|error| Cause::named("encryption", &error))
    }

    fn propose(&mut self, append: bool, proposals: &[u8]) -> Vec<Said> {
        let recognized = self.recognized();
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
            Ok(Some(made)) => vec![Said::Commit {
                commit: made.commit,
                welcome: made.welcome,
            }],
            Err(error) => {
                self.useless(&error);
                Vec::new()
            }
        }
    }

    /// We are in a new epoch of the group.
    fn joined(&mut self, transition: u16, now: Instant) -> Vec<Said> {
        self.epochs += 1;
        let version = self.coming;
        self.prepare(transition, version, now)
    }

    fn prepare(&mut self, transition: u16, version: u16, now: Instant) -> Vec<Said> {
        if let Some(session) = &mut self.session
            && let Err(error) = session.prepare_transition(transition, version)
        {
            return self.recover(transition, &error);
        }
        if version == 0 {
            self.coming = 0;
        }
        if transition == 0 {
            self.uses(version, now);
            return Vec::new();
        }
        if self.pending.len() >= MAX_PENDING {
            self.pending.remove(0);
        }
        self.pending.retain(|(known, _)| *known != transition);
        self.pending.push((transition, version));
        vec![Said::Ready { transition }]
    }

    fn execute(&mut self, transition: u16, now: Instant) {
        let place = self.pending.iter().position(|(it, _)| *it == transition);
        let Some(place) = place else {
            return;
        };
        let (_, version) = self.pending.remove(place);
        if let Some(session) = &mut self.session
            && let Err(error) = session.execute_transition(transition)
        {
            self.useless(&error);
        }
        self.uses(version, now);
    }

    /// The call has this version from now on.
    fn uses(&mut self, version: u16, now: Instant) {
        if (self.version == 0) != (version == 0) {
            self.mixed_until = Some(now + UNDER_WAY);
        }
        self.version = version;
    }

    /// We could not follow the group: the gateway lets us in anew.
    fn recover(&mut self, transition: u16, error: &(dyn std::error::Error + 'static)) -> Vec<Said> {
        self.useless(error);
        let mut said = vec![Said::Invalid { transition }];
        said.extend(self.group_anew());
        said
    }

    fn useless(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.bad += 1;
        let cause = Cause::named("encryption", &error);
        tracing::debug!(%cause, "a message about encryption is of no use");
    }
}

/// The keys themselves are nobody's business.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("version", &self.version)
            .field("epochs", &self.epochs)
            .finish_non_exhaustive()
    }
}

/// Whether a frame has the end of an encrypted one
/// (<https://daveprotocol.com/#payload-format>).
fn is_sealed(frame: &[u8]) -> bool {
    let Some((rest, marker)) = frame.split_last_chunk::<2>() else {
        return false;
    };
    let trailer = usize::from(rest.last().copied().unwrap_or(0));
    *marker == MARKER && (LEAST_TRAILER..=frame.len()).contains(&trailer)
}

fn opened(session: &mut DaveSession, person: u64, frame: &[u8]) -> Option<Bytes> {
    let mut opus = vec![0; frame.len()];
    let opened = session.decrypt_into(person, MediaType::AUDIO, frame, &mut opus);
    opus.truncate(opened.ok()?);
    (!opus.is_empty()).then(|| opus.into())
}
