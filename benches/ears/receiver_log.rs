//! What a listener has received, compared with what was sent to it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandbox::ForwardedPacket;

use super::marked_packets;

/// How the listener delivered a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum DeliveredAs {
    /// Without a user.
    UnknownUser,
    /// With other bytes than any user sent.
    Garbled,
    /// With the bytes of another user.
    WrongUser,
    /// As this user sent it.
    Correct(u64),
}

/// What a listener has received so far.
#[derive(Debug, Default)]
pub(crate) struct ReceiverLog(Mutex<ReceiverLogState>);

#[derive(Debug, Default)]
struct ReceiverLogState {
    packets: HashMap<(u32, u16), DeliveredAs>,
    connections: usize,
    end_reason: Option<String>,
}

/// Packets that were sent to a listener, by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PacketTally {
    pub(crate) sent: usize,
    pub(crate) correct: usize,
    unknown_user: usize,
    garbled: usize,
    wrong_user: usize,
    missing: usize,
}

impl ReceiverLog {
    fn inner(&self) -> MutexGuard<'_, ReceiverLogState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a delivered packet.
    pub(crate) fn record_packet(&self, user: Option<u64>, ssrc: u32, sequence: u16, opus: &[u8]) {
        let outcome = match user {
            None => DeliveredAs::UnknownUser,
            Some(user) if marked_packets::is_packet_of(user, opus) => DeliveredAs::Correct(user),
            Some(_) if marked_packets::is_marked_packet(opus) => DeliveredAs::WrongUser,
            Some(_) => DeliveredAs::Garbled,
        };
        let mut inner = self.inner();
        let known = inner.packets.entry((ssrc, sequence)).or_insert(outcome);
        if !matches!(known, DeliveredAs::Correct(_)) {
            *known = outcome;
        }
    }

    /// Records an established connection.
    pub(crate) fn record_connected(&self) {
        self.inner().connections += 1;
    }

    /// Records the final loss of the connection.
    pub(crate) fn record_ended(&self, why: String) {
        self.inner().end_reason = Some(why);
    }

    /// Records that the listener connects again.
    pub(crate) fn record_reconnecting(&self) {
        self.inner().end_reason = None;
    }

    /// How often a connection was established, and why the last one ended.
    pub(crate) fn state(&self) -> (usize, Option<String>) {
        let inner = self.inner();
        (inner.connections, inner.end_reason.clone())
    }

    /// What became of these packets of a user.
    pub(crate) fn tally(&self, user: u64, forwarded: &[ForwardedPacket]) -> PacketTally {
        let inner = self.inner();
        let mut tally = PacketTally::default();
        for packet in forwarded {
            tally.sent += 1;
            let outcome = inner.packets.get(&(packet.ssrc, packet.sequence));
            *match outcome {
                None => &mut tally.missing,
                Some(DeliveredAs::UnknownUser) => &mut tally.unknown_user,
                Some(DeliveredAs::Garbled) => &mut tally.garbled,
                Some(DeliveredAs::Correct(heard)) if *heard == user => &mut tally.correct,
                Some(DeliveredAs::WrongUser | DeliveredAs::Correct(_)) => &mut tally.wrong_user,
            } += 1;
        }
        tally
    }
}

impl std::ops::AddAssign for PacketTally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.correct += other.correct;
        self.unknown_user += other.unknown_user;
        self.garbled += other.garbled;
        self.wrong_user += other.wrong_user;
        self.missing += other.missing;
    }
}

impl PacketTally {
    pub(crate) fn lost(&self) -> usize {
        self.sent - self.correct
    }

    /// The lost packets by cause.
    pub(crate) fn loss_causes(&self) -> Vec<(&'static str, u64)> {
        let causes = [
            ("not delivered", self.missing),
            ("without a user", self.unknown_user),
            ("garbled", self.garbled),
            ("wrong user", self.wrong_user),
        ];
        causes.map(|(what, count)| (what, count as u64)).into()
    }
}
