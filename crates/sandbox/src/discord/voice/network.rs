//! What happens to packets on their way.

use std::time::Duration;

/// How good the way from the voice server to its clients is. Chances are between 0 and 1, and
/// drawn from the sandbox's own seed.
///
/// ```
/// use std::time::Duration;
/// let bad = sandbox::VoiceNetwork::perfect()
///     .loses(0.05)
///     .jitters(Duration::from_millis(40));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VoiceNetwork {
    loss: f64,
    bursts: (f64, u32),
    duplicates: f64,
    swaps: f64,
    jitter: Duration,
    silent: bool,
}

/// What becomes of one packet.
#[derive(Debug, PartialEq)]
pub(super) enum Fate {
    Lost,
    /// It waits for the next one, and comes after it.
    Swapped,
    Sent {
        copies: usize,
        delay: Duration,
    },
}

/// The way to one client.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Packets still to lose in this burst.
    burst: u32,
}

impl VoiceNetwork {
    /// Everything arrives at once and in order.
    pub fn perfect() -> Self {
        Self::default()
    }

    /// This part of all packets is lost.
    #[must_use]
    pub fn loses(mut self, chance: f64) -> Self {
        self.loss = chance;
        self
    }

    /// With this chance so many packets in a row are lost.
    #[must_use]
    pub fn loses_in_bursts(mut self, chance: f64, packets: u32) -> Self {
        self.bursts = (chance, packets);
        self
    }

    /// This part of all packets comes twice.
    #[must_use]
    pub fn duplicates(mut self, chance: f64) -> Self {
        self.duplicates = chance;
        self
    }

    /// This part of all packets comes after the one that follows.
    #[must_use]
    pub fn reorders(mut self, chance: f64) -> Self {
        self.swaps = chance;
        self
    }

    /// Packets are late by anything up to this long.
    #[must_use]
    pub fn jitters(mut self, most: Duration) -> Self {
        self.jitter = most;
        self
    }

    /// Nothing arrives any more.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    pub(super) fn fate(&self, way: &mut Way, random: &mut fastrand::Rng) -> Fate {
        if self.silent {
            return Fate::Lost;
        }
        if way.burst > 0 {
            way.burst -= 1;
            return Fate::Lost;
        }
        let mut happens = |chance: f64| chance > 0.0 && random.f64() < chance;
        if happens(self.bursts.0) && self.bursts.1 > 0 {
            way.burst = self.bursts.1 - 1;
            return Fate::Lost;
        }
        if happens(self.loss) {
            return Fate::Lost;
        }
        if happens(self.swaps) {
            return Fate::Swapped;
        }
        let copies = if happens(self.duplicates) { 2 } else { 1 };
        let delay = self.jitter.mul_f64(random.f64());
        Fate::Sent { copies, delay }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_loses_the_same_packets() {
        let network = VoiceNetwork::perfect().loses(0.1).loses_in_bursts(0.01, 5);
        let lost = |seed| {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut way = Way::default();
            let fates = (0..1_000).map(|_| network.fate(&mut way, &mut random) == Fate::Lost);
            fates.collect::<Vec<_>>()
        };
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
        let count = lost(1).into_iter().filter(|lost| *lost).count();
        assert!((80..250).contains(&count), "{count}");
    }
}
