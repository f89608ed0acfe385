//! Any packets at any times, heard as a speaker of a call: everything comes out in bounds, and
//! time doesn't run away.
//!
//! Each packet is written as: a byte that says what is unusual about it, what that needs, the
//! milliseconds until it comes, a length, and so many bytes of Opus.

#![no_main]

use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use audio::{Ear, EarEvent, EarSettings, VoicePacket, duration_to_samples};

/// Packets may be placed ahead of the time by a burst, and speech ends with a pause.
const AHEAD: Duration = Duration::from_secs(3);

struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.take(bytes)
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// The samples that came out, all of them in the past.
fn check(events: &mut Vec<EarEvent>, now: Duration, longest: Duration) -> Duration {
    let mut length = Duration::ZERO;
    for event in events.drain(..) {
        if let EarEvent::Utterance(utterance) = event {
            assert!(utterance.samples.len() as u64 <= duration_to_samples(longest));
            assert!(utterance.end() <= now.saturating_add(AHEAD));
            length += utterance.end() - utterance.start;
        }
    }
    length
}

fuzz_target!(|data: &[u8]| {
    let mut bits = Bits(data);
    let settings = EarSettings {
        live: bits.number(1).is_multiple_of(2),
        ..EarSettings::default()
    };
    let longest = settings.longest;
    let mut ear = Ear::new(settings).expect("an ear");
    let (mut now, mut sequence, mut timestamp) = (Duration::ZERO, 0_u16, 0_u32);
    let (mut events, mut given, mut packets) = (Vec::new(), Duration::ZERO, 0);
    while !bits.0.is_empty() {
        let unusual = bits.number(1);
        if unusual & 1 != 0 {
            sequence = bits.number(2) as u16;
        }
        if unusual & 2 != 0 {
            timestamp = bits.number(4) as u32;
        }
        if unusual & 4 != 0 {
            sequence = sequence.wrapping_add(bits.number(1) as u16);
        }
        now += Duration::from_millis(if unusual & 8 != 0 {
            bits.number(3)
        } else {
            bits.number(1)
        });
        let length = bits.number(1) as usize;
        ear.hear(VoicePacket {
            sequence,
            timestamp,
            opus: Bytes::copy_from_slice(bits.take(length)),
            received: now,
        });
        packets += 1;
        sequence = sequence.wrapping_add(1);
        timestamp = timestamp.wrapping_add(960);
        if unusual & 16 == 0 {
            ear.advance(now, &mut events);
            given += check(&mut events, now, longest);
            assert!(ear.due().is_none_or(|due| due > now));
        }
        if unusual & 32 != 0
            && let Some(due) = ear.due()
        {
            now = now.max(due);
            ear.advance(now, &mut events);
            given += check(&mut events, now, longest);
        }
        if unusual & 192 == 192 {
            ear.finish(now, &mut events);
            given += check(&mut events, now, longest);
            assert!(ear.due().is_none());
        }
    }
    ear.finish(now, &mut events);
    given += check(&mut events, now, longest);
    let counts = ear.counts();
    assert_eq!(counts.received, packets);
    assert!(given <= now.saturating_add(AHEAD));
    assert!(counts.lost_time <= now.saturating_add(AHEAD));
});
