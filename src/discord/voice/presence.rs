//! Who sits in which voice channel, as the gateway tells it, in its order.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::flow::session::board::Unhearing;

/// People of all servers that are known to be in a call.
const MAX_SEATED: usize = 200_000;

/// Somebody in a voice channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::discord) struct Seat {
    pub(super) channel: u64,
    /// Their name in the server; none if the gateway did not say.
    pub(super) name: Option<String>,
    pub(super) bot: bool,
    /// Why they hear nobody.
    pub(super) unhearing: Option<Unhearing>,
}

/// All seats.
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<Seats>);

#[derive(Debug, Default)]
struct Seats {
    servers: HashMap<u64, HashMap<u64, Seat>>,
    taken: usize,
}

impl Presence {
    /// All who are in calls of a server, instead of what was known.
    pub(super) fn server(&self, server: u64, seats: impl IntoIterator<Item = (u64, Seat)>) {
        let mut all = self.seats();
        all.clear(server);
        for (person, seat) in seats {
            all.put(server, person, seat);
        }
    }

    /// Somebody has another seat, or none. Gives the one they had.
    pub(super) fn sits(&self, server: u64, person: u64, seat: Option<Seat>) -> Option<Seat> {
        let mut all = self.seats();
        let before = all.take(server, person);
        if let Some(mut seat) = seat {
            if seat.name.is_none() {
                seat.name = before.as_ref().and_then(|before| before.name.clone());
            }
            all.put(server, person, seat);
        }
        before
    }

    /// The seat of somebody.
    pub(super) fn of(&self, server: u64, person: u64) -> Option<Seat> {
        let all = self.seats();
        all.servers.get(&server)?.get(&person).cloned()
    }

    /// The people in a channel, without bots.
    pub(super) fn people(&self, server: u64, channel: u64) -> Vec<(u64, Option<String>)> {
        let all = self.seats();
        let seats = all.servers.get(&server).into_iter().flatten();
        seats
            .filter(|(_, seat)| seat.channel == channel && !seat.bot)
            .map(|(person, seat)| (*person, seat.name.clone()))
            .collect()
    }

    /// How many are in a channel, bots included.
    pub(super) fn count(&self, server: u64, channel: u64) -> usize {
        let all = self.seats();
        let seats = all.servers.get(&server).into_iter().flatten();
        seats.filter(|(_, seat)| seat.channel == channel).count()
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn put(&mut self, server: u64, person: u64, seat: Seat) {
        if self.taken >= MAX_SEATED {
            return;
        }
        let seats = self.servers.entry(server).or_default();
        if seats.insert(person, seat).is_none() {
            self.taken += 1;
        }
    }

    fn take(&mut self, server: u64, person: u64) -> Option<Seat> {
        let seats = self.servers.get_mut(&server)?;
        let seat = seats.remove(&person);
        self.taken -= usize::from(seat.is_some());
        if seats.is_empty() {
            self.servers.remove(&server);
        }
        seat
    }

    fn clear(&mut self, server: u64) {
        let gone = self.servers.remove(&server).map_or(0, |seats| seats.len());
        self.taken -= gone;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(channel: u64, name: &str) -> Seat {
        Seat {
            channel,
            name: (!name.is_empty()).then(|| name.to_owned()),
            bot: name == "bot",
            unhearing: None,
        }
    }

    #[test]
    fn people_come_move_and_go() {
        let presence = Presence::default();
        presence.server(1, [(7, seat(10, "Ana")), (8, seat(10, "bot"))]);
        assert_eq!(presence.people(1, 10), [(7, Some("Ana".to_owned()))]);
        assert_eq!(presence.count(1, 10), 2);
        // A move does not say the name again.
        let before = presence.sits(1, 7, Some(seat(11, "")));
        assert_eq!(before, Some(seat(10, "Ana")));
        assert_eq!(presence.of(1, 7), Some(seat(11, "Ana")));
        assert_eq!(presence.sits(1, 7, None), Some(seat(11, "Ana")));
        assert_eq!(presence.of(1, 7), None);
        presence.server(1, []);
        assert_eq!(presence.count(1, 10), 0);
        assert_eq!(presence.seats().taken, 0);
    }
}
