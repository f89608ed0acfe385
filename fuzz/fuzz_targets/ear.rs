//! Arbitrary packets at arbitrary times, received as a speaker of a call: utterances are within the
//! limits, and the timeline does not run ahead of the time.
//!
//! Each packet is written as: a byte of flags (what is unusual about it), the values these need,
//! the milliseconds until it arrives, a length, and as many bytes of Opus.

#![no_main]

use std::time::Duration;

use audio::{
    SpeakerEvent, SpeakerReceiver, SpeakerReceiverSettings, VoicePacket, duration_to_samples,
};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// How far the timeline may be ahead of the time: a burst of packets, and the pause that ends
/// speech.
const MAX_AHEAD: Duration = Duration::from_secs(3);

/// The input, read from the front. Zeros follow its end.
struct FuzzInput<'a>(&'a [u8]);

impl<'a> FuzzInput<'a> {
    fn take_bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn take_number(&mut self, bytes: usize) -> u64 {
        self.take_bytes(bytes)
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Checks the utterances and returns their duration.
fn check_events(
    events: &mut Vec<SpeakerEvent>,
    now: Duration,
    max_utterance: Duration,
) -> Duration {
    let mut duration = Duration::ZERO;
    for event in events.drain(..) {
        if let SpeakerEvent::Utterance(utterance) = event {
            assert!(utterance.samples.len() as u64 <= duration_to_samples(max_utterance));
            assert!(utterance.end() <= now.saturating_add(MAX_AHEAD));
            duration += utterance.end() - utterance.start;
        }
    }
    duration
}

fuzz_target!(|data: &[u8]| {
    let mut input = FuzzInput(data);
    let settings = SpeakerReceiverSettings {
        stream_audio: input.take_number(1).is_multiple_of(2),
        ..SpeakerReceiverSettings::default()
    };
    let max_utterance = settings.max_utterance;
    let mut receiver = SpeakerReceiver::new(settings).expect("a receiver");
    let (mut now, mut sequence, mut timestamp) = (Duration::ZERO, 0_u16, 0_u32);
    let (mut events, mut spoken, mut packets) = (Vec::new(), Duration::ZERO, 0);
    while !input.0.is_empty() {
        let flags = input.take_number(1);
        if flags & 1 != 0 {
            sequence = input.take_number(2) as u16;
        }
        if flags & 2 != 0 {
            timestamp = input.take_number(4) as u32;
        }
        if flags & 4 != 0 {
            sequence = sequence.wrapping_add(input.take_number(1) as u16);
        }
        now += Duration::from_millis(if flags & 8 != 0 {
            input.take_number(3)
        } else {
            input.take_number(1)
        });
        let length = input.take_number(1) as usize;
        receiver.push_packet(VoicePacket {
            sequence,
            timestamp,
            opus: Bytes::copy_from_slice(input.take_bytes(length)),
            received: now,
        });
        packets += 1;
        sequence = sequence.wrapping_add(1);
        timestamp = timestamp.wrapping_add(960);
        if flags & 16 == 0 {
            receiver.advance(now, &mut events);
            spoken += check_events(&mut events, now, max_utterance);
            assert!(receiver.next_deadline().is_none_or(|due| due > now));
        }
        if flags & 32 != 0
            && let Some(due) = receiver.next_deadline()
        {
            now = now.max(due);
            receiver.advance(now, &mut events);
            spoken += check_events(&mut events, now, max_utterance);
        }
        if flags & 192 == 192 {
            receiver.finish(now, &mut events);
            spoken += check_events(&mut events, now, max_utterance);
            assert!(receiver.next_deadline().is_none());
        }
    }
    receiver.finish(now, &mut events);
    spoken += check_events(&mut events, now, max_utterance);
    let stats = receiver.stats();
    assert_eq!(stats.received, packets);
    assert!(spoken <= now.saturating_add(MAX_AHEAD));
    assert!(stats.lost_duration <= now.saturating_add(MAX_AHEAD));
});
