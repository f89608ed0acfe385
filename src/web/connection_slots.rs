//! Limits connections, and decides which one is evicted when all slots are taken.
//!
//! Only a connection whose request is complete and being answered keeps its slot for certain.
//! Connections that have sent nothing, send their request slowly or idle between requests are
//! evicted for new ones, longest-waiting first; after them, those that send a body slowly. So slow
//! clients can't keep others out, however many open are.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The limit on connections. A browser opens at most six.
pub(super) const MAX_CONNECTIONS: usize = 128;

/// The limit per address. A reverse proxy counts as one address, so this bounds the requests
/// through it. It is well above the eight questions that are worked on at a time.
pub(super) const MAX_CONNECTIONS_PER_ADDRESS: usize = 32;

/// How long an upload may take before it can be evicted for another question.
const UPLOAD_EVICTION_AGE: Duration = Duration::from_secs(30);

/// Additional connections on which only `/healthz` is answered.
pub(super) const RESERVE_CONNECTIONS: usize = 8;

/// All slots. Clones share them.
#[derive(Clone, Default)]
pub(super) struct ConnectionSlots(Arc<Mutex<SlotTable>>);

#[derive(Default)]
struct SlotTable {
    next_id: u64,
    /// By connection number, so the lowest is the oldest. Never more than the limits above.
    entries: BTreeMap<u64, SlotEntry>,
}

struct SlotEntry {
    network: IpAddr,
    phase: SlotPhase,
    /// When the current phase began.
    phase_since: Instant,
    is_reserve: bool,
    eviction: CancellationToken,
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum SlotPhase {
    /// No request has been received yet.
    New,
    /// Kept alive for the next request.
    Idle,
    /// A response is being delayed on purpose.
    Delayed,
    /// The body of a request is being received.
    ReceivingBody,
    /// A request is being answered.
    Responding,
}

/// The slot of one connection. Clones share it; dropping the last one frees it.
#[derive(Clone)]
pub(super) struct ConnectionSlot(Arc<ConnectionSlotInner>);

struct ConnectionSlotInner {
    slots: ConnectionSlots,
    id: u64,
    eviction: CancellationToken,
    is_reserve: bool,
}

/// A request that is being answered. Dropping it makes the connection idle.
pub(super) struct ActiveRequest(ConnectionSlot);

impl ConnectionSlots {
    /// Takes a slot for a connection from `address`, evicting another connection if necessary.
    pub(super) fn acquire(&self, address: IpAddr) -> ConnectionSlot {
        let network = client_network(address);
        let mut state = self.lock_table();
        let is_reserve = !state.make_room_for(network);
        let id = state.next_id;
        state.next_id += 1;
        let eviction = CancellationToken::new();
        let entry = SlotEntry {
            network,
            phase: SlotPhase::New,
            phase_since: Instant::now(),
            is_reserve,
            eviction: eviction.clone(),
        };
        state.entries.insert(id, entry);
        ConnectionSlot(Arc::new(ConnectionSlotInner {
            slots: self.clone(),
            id,
            eviction,
            is_reserve,
        }))
    }

    fn lock_table(&self) -> MutexGuard<'_, SlotTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SlotTable {
    /// Makes room for one more connection from this address. False if only a reserve slot is left.
    fn make_room_for(&mut self, network: IpAddr) -> bool {
        let ordinary = |entry: &&SlotEntry| !entry.is_reserve;
        let from_network = self.entries.values().filter(ordinary);
        let from_network = from_network
            .filter(|entry| entry.network == network)
            .count();
        let all = self.entries.values().filter(ordinary).count();
        let has_room = if from_network >= MAX_CONNECTIONS_PER_ADDRESS {
            self.evict_one(|entry| {
                !entry.is_reserve && entry.network == network && entry.is_evictable()
            })
        } else if all >= MAX_CONNECTIONS {
            self.evict_one(|entry| !entry.is_reserve && entry.is_evictable())
        } else {
            true
        };
        if !has_room
            && self
                .entries
                .values()
                .filter(|entry| entry.is_reserve)
                .count()
                >= RESERVE_CONNECTIONS
        {
            let _ = self.evict_one(|entry| entry.is_reserve && entry.is_evictable())
                || self.evict_one(|entry| entry.is_reserve);
        }
        has_room
    }

    /// Evicts the connection of the lowest rank, the longest-waiting first. False if none
    /// qualifies.
    fn evict_one(&mut self, is_candidate: impl Fn(&SlotEntry) -> bool) -> bool {
        let candidates = self.entries.iter().filter(|(_, entry)| is_candidate(entry));
        let victim = candidates.min_by_key(|(_, entry)| (entry.eviction_rank(), entry.phase_since));
        let Some(id) = victim.map(|(id, _)| *id) else {
            return false;
        };
        if let Some(entry) = self.entries.remove(&id) {
            entry.eviction.cancel();
        }
        true
    }
}

impl SlotEntry {
    fn is_evictable(&self) -> bool {
        self.phase < SlotPhase::Responding
    }

    /// Connections without a request are evicted before those that are sending one.
    fn eviction_rank(&self) -> SlotPhase {
        self.phase.max(SlotPhase::Delayed)
    }
}

impl ConnectionSlot {
    /// Resolves when this connection has been evicted.
    pub(super) async fn evicted(&self) {
        self.0.eviction.cancelled().await;
    }

    /// Whether only `/healthz` is answered on this connection.
    pub(super) fn is_reserve(&self) -> bool {
        self.0.is_reserve
    }

    /// The current phase, and since when.
    pub(super) fn phase(&self) -> (SlotPhase, Instant) {
        let state = self.0.slots.lock_table();
        let entry = state.entries.get(&self.0.id);
        entry.map_or((SlotPhase::Idle, Instant::now()), |it| {
            (it.phase, it.phase_since)
        })
    }

    /// The head of a request has arrived. `is_whole`: it has no body.
    pub(super) fn begin_request(&self, is_whole: bool) -> ActiveRequest {
        self.set_phase(if is_whole {
            SlotPhase::Responding
        } else {
            SlotPhase::ReceivingBody
        });
        ActiveRequest(self.clone())
    }

    /// The body has been received in full, or the answer has begun.
    pub(super) fn mark_body_received(&self) {
        if self.phase().0 == SlotPhase::ReceivingBody {
            self.set_phase(SlotPhase::Responding);
        }
    }

    /// Evicts an upload that has taken too long, so that another question can be worked on. False
    /// if open is none.
    pub(super) fn evict_slow_upload(&self) -> bool {
        let Some(long_ago) = Instant::now().checked_sub(UPLOAD_EVICTION_AGE) else {
            return false;
        };
        let mut state = self.0.slots.lock_table();
        state.evict_one(|entry| {
            entry.phase == SlotPhase::ReceivingBody && entry.phase_since < long_ago
        })
    }

    /// The response is being delayed; the connection may be evicted meanwhile.
    pub(super) fn mark_delayed(&self) {
        self.set_phase(SlotPhase::Delayed);
    }

    fn set_phase(&self, phase: SlotPhase) {
        let mut state = self.0.slots.lock_table();
        if let Some(entry) = state.entries.get_mut(&self.0.id) {
            entry.phase = phase;
            entry.phase_since = Instant::now();
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

/// The client's address; for IPv6 its /64 network, since a host can use many addresses in it.
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

    fn is_evicted(slot: &ConnectionSlot) -> bool {
        slot.0.eviction.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn longest_waiting_connection_is_evicted_first() {
        let slots = ConnectionSlots::default();
        let mut open: Vec<ConnectionSlot> = Vec::new();
        for _ in 0..MAX_CONNECTIONS_PER_ADDRESS {
            open.push(slots.acquire(address(1)));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let busy = open[0].begin_request(true);
        let next = slots.acquire(address(1));
        assert!(!next.is_reserve());
        assert!(!is_evicted(&open[0]) && is_evicted(&open[1]) && !is_evicted(&open[2]));
        // Another address is not affected.
        let other = slots.acquire(address(2));
        assert!(!other.is_reserve() && !is_evicted(&open[2]));
        drop(busy);
        drop(open);
        drop((next, other));
        assert!(slots.lock_table().entries.is_empty());
    }

    #[tokio::test]
    async fn responding_connections_stay_and_reserve_remains() {
        let slots = ConnectionSlots::default();
        let mut open = Vec::new();
        for number in 0..MAX_CONNECTIONS {
            let slot = slots.acquire(address(
                u8::try_from(number / MAX_CONNECTIONS_PER_ADDRESS).expect("small"),
            ));
            assert!(!slot.is_reserve());
            open.push((slot.begin_request(true), slot));
        }
        let mut extra: Vec<ConnectionSlot> =
            (0..100).map(|_| slots.acquire(address(200))).collect();
        assert!(extra.iter().all(ConnectionSlot::is_reserve));
        assert_eq!(
            extra.iter().filter(|it| !is_evicted(it)).count(),
            RESERVE_CONNECTIONS
        );
        assert!(!is_evicted(extra.last().expect("the last one")));
        assert!(open.iter().all(|(_, slot)| !is_evicted(slot)));
        assert!(slots.lock_table().entries.len() <= MAX_CONNECTIONS + RESERVE_CONNECTIONS);
        // A delayed connection is evicted too.
        open[5].1.mark_delayed();
        extra.push(slots.acquire(address(201)));
        assert!(is_evicted(&open[5].1) && !extra.last().expect("the last one").is_reserve());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_body_is_evicted_after_idle_connections() {
        let slots = ConnectionSlots::default();
        let slow: Vec<_> = (0..MAX_CONNECTIONS_PER_ADDRESS - 1)
            .map(|_| {
                let slot = slots.acquire(address(1));
                (slot.begin_request(false), slot)
            })
            .collect();
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = slots.acquire(address(1));
        let _next = slots.acquire(address(1));
        assert!(is_evicted(&silent) && !is_evicted(&slow[0].1));
        let next = slots.acquire(address(1));
        let _answering = (next.begin_request(true), slots.acquire(address(1)));
        assert!(is_evicted(&slow[0].1) || is_evicted(&slow[1].1));
        assert!(!is_evicted(&next));
        assert!(!next.evict_slow_upload(), "no upload is slow yet");
        tokio::time::advance(UPLOAD_EVICTION_AGE).await;
        slow[20].1.mark_body_received();
        assert!(next.evict_slow_upload());
        assert!(!is_evicted(&slow[20].1), "its body was received");
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
