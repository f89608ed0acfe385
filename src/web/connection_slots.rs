//! Who is connected, and who gives way when there is no place left.
//!
//! A place is taken for good only by a request that is whole and being answered. Whoever connects and
//! says nothing, says it slowly, or keeps a connection for later, makes room for whoever comes, the
//! longest-waiting first; then whoever sends a body slowly. So slow clients, however many, keep
//! nobody out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at a time. A browser opens six at most.
pub(super) const MAX_CONNECTIONS: usize = 128;

/// Those of one address. A reverse proxy is one address too: so many requests pass through it at the
/// same time, which is far more than the eight questions that are worked on at a time.
pub(super) const MAX_CONNECTIONS_PER_ADDRESS: usize = 32;

/// How long an upload may go on before it gives way to another question.
const UPLOAD_EVICTION_AGE: Duration = Duration::from_secs(30);

/// Connections beyond these, on which only `/healthz` is answered.
pub(super) const RESERVE_CONNECTIONS: usize = 8;

/// All places. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct ConnectionSlots(Arc<Mutex<SlotTable>>);

#[derive(Default)]
struct SlotTable {
    next_id: u64,
    /// By number: the lower, the longer there. At most all of the above.
    entries: BTreeMap<u64, SlotEntry>,
}

struct SlotEntry {
    network: IpAddr,
    phase: SlotPhase,
    /// When the phase began.
    phase_since: Instant,
    is_reserve: bool,
    eviction: CancellationToken,
}

/// What a connection is used for at the moment.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum SlotPhase {
    /// Nothing has been asked on it yet.
    New,
    /// It is kept for the next request.
    Idle,
    /// A request is kept waiting on purpose.
    Delayed,
    /// The body of a request comes.
    ReceivingBody,
    /// A request is being answered.
    Responding,
}

/// The place of one connection; dropping it gives it back. Cloning shares it.
#[derive(Clone)]
pub(super) struct ConnectionSlot(Arc<ConnectionSlotInner>);

struct ConnectionSlotInner {
    slots: ConnectionSlots,
    id: u64,
    eviction: CancellationToken,
    is_reserve: bool,
}

/// A request that is being answered. Dropping it frees the connection for the next.
pub(super) struct ActiveRequest(ConnectionSlot);

impl ConnectionSlots {
    /// A place for whoever connects from `address`. Somebody may have to give theirs up for it.
    pub(super) fn acquire(&self, address: IpAddr) -> ConnectionSlot {
        let of = client_network(address);
        let mut state = self.lock_table();
        let reserve = !state.make_room_for(of);
        let number = state.next_id;
        state.next_id += 1;
        let leave = CancellationToken::new();
        let seat = SlotEntry {
            network: of,
            phase: SlotPhase::New,
            phase_since: Instant::now(),
            is_reserve: reserve,
            eviction: leave.clone(),
        };
        state.entries.insert(number, seat);
        ConnectionSlot(Arc::new(ConnectionSlotInner {
            slots: self.clone(),
            id: number,
            eviction: leave,
            is_reserve: reserve,
        }))
    }

    fn lock_table(&self) -> MutexGuard<'_, SlotTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotTable {
    /// Whether there is an ordinary place for one more of this address; else there is one of the
    /// reserve afterwards.
    fn make_room_for(&mut self, of: IpAddr) -> bool {
        let ordinary = |seat: &&SlotEntry| !seat.is_reserve;
        let theirs = self.entries.values().filter(ordinary);
        let theirs = theirs.filter(|seat| seat.network == of).count();
        let all = self.entries.values().filter(ordinary).count();
        let room = if theirs >= MAX_CONNECTIONS_PER_ADDRESS {
            self.evict_one(|seat| !seat.is_reserve && seat.network == of && seat.is_evictable())
        } else if all >= MAX_CONNECTIONS {
            self.evict_one(|seat| !seat.is_reserve && seat.is_evictable())
        } else {
            true
        };
        if !room
            && self.entries.values().filter(|seat| seat.is_reserve).count() >= RESERVE_CONNECTIONS
        {
            let _ = self.evict_one(|seat| seat.is_reserve && seat.is_evictable())
                || self.evict_one(|seat| seat.is_reserve);
        }
        room
    }

    /// Whoever of these is of least use goes, and of those whoever has waited longest. False if there
    /// is none.
    fn evict_one(&mut self, whom: impl Fn(&SlotEntry) -> bool) -> bool {
        let of_them = self.entries.iter().filter(|(_, seat)| whom(seat));
        let longest = of_them.min_by_key(|(_, seat)| (seat.eviction_rank(), seat.phase_since));
        let Some(number) = longest.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(seat) = self.entries.remove(&number) {
            seat.eviction.cancel();
        }
        true
    }
}

impl SlotEntry {
    fn is_evictable(&self) -> bool {
        self.phase < SlotPhase::Responding
    }

    /// Those who ask nothing go before those whose question is on its way.
    fn eviction_rank(&self) -> SlotPhase {
        self.phase.max(SlotPhase::Delayed)
    }
}

impl ConnectionSlot {
    /// Resolves when somebody else has been given the place.
    pub(super) async fn evicted(&self) {
        self.0.eviction.cancelled().await;
    }

    /// Whether only `/healthz` is answered here.
    pub(super) fn is_reserve(&self) -> bool {
        self.0.is_reserve
    }

    /// What it is used for, and since when.
    pub(super) fn phase(&self) -> (SlotPhase, Instant) {
        let state = self.0.slots.lock_table();
        let seat = state.entries.get(&self.0.id);
        seat.map_or((SlotPhase::Idle, Instant::now()), |it| {
            (it.phase, it.phase_since)
        })
    }

    /// The head of a request has come, and with it the whole of it if it has no body.
    pub(super) fn begin_request(&self, is_whole: bool) -> ActiveRequest {
        self.set_phase(if is_whole {
            SlotPhase::Responding
        } else {
            SlotPhase::ReceivingBody
        });
        ActiveRequest(self.clone())
    }

    /// All of a request has come, or its answer goes out already.
    pub(super) fn mark_body_received(&self) {
        if self.phase().0 == SlotPhase::ReceivingBody {
            self.set_phase(SlotPhase::Responding);
        }
    }

    /// Somebody's upload that has gone on for long ends, so that another question can be worked on.
    /// False if there is none.
    pub(super) fn evict_slow_upload(&self) -> bool {
        let Some(long_ago) = Instant::now().checked_sub(UPLOAD_EVICTION_AGE) else {
            return false;
        };
        let mut state = self.0.slots.lock_table();
        state
            .evict_one(|seat| seat.phase == SlotPhase::ReceivingBody && seat.phase_since < long_ago)
    }

    /// The answer is held back for a while, and the place is no longer worth keeping.
    pub(super) fn mark_delayed(&self) {
        self.set_phase(SlotPhase::Delayed);
    }

    fn set_phase(&self, phase: SlotPhase) {
        let mut state = self.0.slots.lock_table();
        if let Some(seat) = state.entries.get_mut(&self.0.id) {
            seat.phase = phase;
            seat.phase_since = Instant::now();
        }
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.set_phase(SlotPhase::Idle);
    }
}

impl Drop for ConnectionSlotInner {
    fn drop(&mut self) {
        self.slots.lock_table().entries.remove(&self.id);
    }
}

/// Whose address it is: of IPv6 the network, since a host has as many addresses as it likes.
fn client_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    fn is_evicted(place: &ConnectionSlot) -> bool {
        place.0.eviction.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn longest_waiting_connection_is_evicted_first() {
        let places = ConnectionSlots::default();
        let mut there: Vec<ConnectionSlot> = Vec::new();
        for _ in 0..MAX_CONNECTIONS_PER_ADDRESS {
            there.push(places.acquire(address(1)));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let busy = there[0].begin_request(true);
        let next = places.acquire(address(1));
        assert!(!next.is_reserve());
        assert!(!is_evicted(&there[0]) && is_evicted(&there[1]) && !is_evicted(&there[2]));
        // Another address has nothing to do with it.
        let other = places.acquire(address(2));
        assert!(!other.is_reserve() && !is_evicted(&there[2]));
        drop(busy);
        drop(there);
        drop((next, other));
        assert!(places.lock_table().entries.is_empty());
    }

    #[tokio::test]
    async fn responding_connections_stay_and_reserve_remains() {
        let places = ConnectionSlots::default();
        let mut there = Vec::new();
        for number in 0..MAX_CONNECTIONS {
            let place = places.acquire(address(
                u8::try_from(number / MAX_CONNECTIONS_PER_ADDRESS).expect("small"),
            ));
            assert!(!place.is_reserve());
            there.push((place.begin_request(true), place));
        }
        let mut extra: Vec<ConnectionSlot> =
            (0..100).map(|_| places.acquire(address(200))).collect();
        assert!(extra.iter().all(ConnectionSlot::is_reserve));
        assert_eq!(
            extra.iter().filter(|it| !is_evicted(it)).count(),
            RESERVE_CONNECTIONS
        );
        assert!(!is_evicted(extra.last().expect("the last one")));
        assert!(there.iter().all(|(_, place)| !is_evicted(place)));
        assert!(places.lock_table().entries.len() <= MAX_CONNECTIONS + RESERVE_CONNECTIONS);
        // Whoever is held back gives way too.
        there[5].1.mark_delayed();
        extra.push(places.acquire(address(201)));
        assert!(is_evicted(&there[5].1) && !extra.last().expect("it").is_reserve());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_body_is_evicted_after_idle_connections() {
        let places = ConnectionSlots::default();
        let slow: Vec<_> = (0..MAX_CONNECTIONS_PER_ADDRESS - 1)
            .map(|_| {
                let place = places.acquire(address(1));
                (place.begin_request(false), place)
            })
            .collect();
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = places.acquire(address(1));
        let _next = places.acquire(address(1));
        assert!(is_evicted(&silent) && !is_evicted(&slow[0].1));
        let next = places.acquire(address(1));
        let _answering = (next.begin_request(true), places.acquire(address(1)));
        assert!(is_evicted(&slow[0].1) || is_evicted(&slow[1].1));
        assert!(!is_evicted(&next));
        assert!(!next.evict_slow_upload(), "none has gone on for long");
        tokio::time::advance(UPLOAD_EVICTION_AGE).await;
        slow[20].1.mark_body_received();
        assert!(next.evict_slow_upload());
        assert!(!is_evicted(&slow[20].1), "it is whole");
    }

    #[test]
    fn ipv6_network_counts_as_one_address() {
        let of = |text: &str| client_network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
