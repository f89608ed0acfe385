//! What happens to packets on their way.

use std::time::Duration;

/// How good the way from the voice server to its clients is. Chances are between 0 and 1, and
/// drawn from the sandbox's own seed.
///
/// ```
/// use std::time::Duration;
/// let bad = sandbox::VoiceNetwork::perfect()
///     .with_loss(0.05)
///     .with_jitter(Duration::from_millis(40));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VoiceNetwork {
    loss: f64,
    burst_loss: (f64, u32),
    duplicates: f64,
    reordering: f64,
    jitter: Duration,
    blackout: bool,
}

/// What becomes of one packet.
#[derive(Debug, PartialEq)]
pub(super) enum PacketFate {
    Lost,
    /// It waits for the next one, and comes after it.
    Reordered,
    Delivered {
        copies: usize,
        delay: Duration,
    },
}

/// The way to one client.
#[derive(Debug, Default)]
pub(super) struct LinkState {
    /// Packets still to lose in this burst.
    burst_remaining: u32,
}

impl VoiceNetwork {
    /// Everything arrives at once and in order.
    pub fn perfect() -> Self {
        Self::default()
    }

    /// This part of all packets is lost.
    #[must_use]
    pub fn with_loss(mut self, chance: f64) -> Self {
        self.loss = chance;
        self
    }

    /// With this chance so many packets in a row are lost.
    #[must_use]
    pub fn with_burst_loss(mut self, chance: f64, packets: u32) -> Self {
        self.burst_loss = (chance, packets);
        self
    }

    /// This part of all packets comes twice.
    #[must_use]
    pub fn with_duplicates(mut self, chance: f64) -> Self {
        self.duplicates = chance;
        self
    }

    /// This part of all packets comes after the one that follows.
    #[must_use]
    pub fn with_reordering(mut self, chance: f64) -> Self {
        self.reordering = chance;
        self
    }

    /// Packets are late by anything up to this long.
    #[must_use]
    pub fn with_jitter(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// Nothing arrives any more.
    #[must_use]
    pub fn with_blackout(mut self) -> Self {
        self.blackout = true;
        self
    }

    pub(super) fn draw_packet_fate(
        &self,
        way: &mut LinkState,
        random: &mut fastrand::Rng,
    ) -> PacketFate {
        if self.blackout {
            return PacketFate::Lost;
        }
        if way.burst_remaining > 0 {
            way.burst_remaining -= 1;
            return PacketFate::Lost;
        }
        let mut happens = |chance: f64| chance > 0.0 && random.f64() < chance;
        if happens(self.burst_loss.0) && self.burst_loss.1 > 0 {
            way.burst_remaining = self.burst_loss.1 - 1;
            return PacketFate::Lost;
        }
        if happens(self.loss) {
            return PacketFate::Lost;
        }
        if happens(self.reordering) {
            return PacketFate::Reordered;
        }
        let copies = if happens(self.duplicates) { 2 } else { 1 };
        let delay = self.jitter.mul_f64(random.f64());
        PacketFate::Delivered { copies, delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_loses_the_same_packets() {
        let network = VoiceNetwork::perfect()
            .with_loss(0.1)
            .with_burst_loss(0.01, 5);
        let lost = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut way = LinkState::default();
            let fates = (0..1_000)
                .map(|_| network.draw_packet_fate(&mut way, &mut random) == PacketFate::Lost);
            fates.collect::<Vec<_>>()
        };
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
        let count = lost(1).into_iter().filter(|lost| *lost).count();
        assert!((80..250).contains(&count), "{count}");
    }
}
