//! Packets that were buffered elsewhere and pushed late, with their original arrival time, are not
//! lost.

use super::*;

/// Pushes the packets from index `from` on only `later` after the last of them has arrived. Until
/// then the receiver is advanced as usual.
fn receive_delayed(
    mut receiver: SpeakerReceiver<EverythingIsSpeech>,
    sent: &[VoicePacket],
    from: usize,
    later: Duration,
) -> ReceivedEvents {
    let (at_once, held) = sent.split_at(from);
    let mut events = Vec::new();
    let mut now = Duration::ZERO;
    for packet in at_once {
        advance_until(&mut receiver, packet.received, &mut now, &mut events);
        now = packet.received;
        receiver.push_packet(packet.clone());
        advance(&mut receiver, now, &mut events);
    }
    let released = held.last().map_or(now, |last| last.received + later);
    advance_until(&mut receiver, released, &mut now, &mut events);
    now = released;
    for packet in held {
        receiver.push_packet(packet.clone());
    }
    advance(&mut receiver, now, &mut events);
    advance_until(&mut receiver, Duration::MAX, &mut now, &mut events);
    let mut rest = Vec::new();
    receiver.finish(now, &mut rest);
    events.extend(rest.into_iter().map(|event| (now, event)));
    let stats = receiver.stats();
    ReceivedEvents { events, stats }
}

fn receiver_with_end_silence(end_silence: u64) -> SpeakerReceiver<EverythingIsSpeech> {
    let settings = SpeakerReceiverSettings {
        end_silence: millis(end_silence),
        ..SpeakerReceiverSettings::default()
    };
    SpeakerReceiver::with_vad(settings, EverythingIsSpeech).expect("a receiver")
}

#[test]
fn delayed_speech_keeps_its_first_word_and_position() {
    for timestamps in [PauseTimestamps::Continue, PauseTimestamps::Freeze] {
        let mut sender = FakeClient::new(timestamps);
        let words = &sample("capital")[..90];
        sender.speak(words);
        let output = receive_delayed(receiver_with_end_silence(600), &sender.sent, 0, millis(100));
        assert_eq!(output.speech_starts(), [millis(1_000)], "{timestamps:?}");
        assert_eq!(output.stats.decoded, millis(1_800));
        assert_eq!(
            output.stats.lost + output.stats.late + output.stats.damaged,
            0
        );
        assert!(output.samples_from(millis(1_000))[..90 * 320] == decode_with_libopus(words));
    }
}

#[test]
fn a_pause_within_delayed_packets_keeps_its_length() {
    for timestamps in [PauseTimestamps::Continue, PauseTimestamps::Freeze] {
        let mut sender = FakeClient::new(timestamps);
        let words = &sample("capital")[..20];
        sender.speak(words);
        sender.send_silence();
        sender.pause(millis(800));
        sender.speak(words);
        let output = receive_delayed(receiver_with_end_silence(600), &sender.sent, 0, millis(100));
        let starts = output.speech_starts();
        assert_eq!(starts.len(), 2, "{timestamps:?}");
        assert_eq!(starts[0], millis(1_000));
        assert!(starts[1].abs_diff(millis(2_300)) < millis(16), "{starts:?}");
        assert_eq!(output.stats.lost + output.stats.damaged, 0);
    }
}

#[test]
fn packets_delayed_mid_sentence_are_all_decoded() {
    for end_silence in [200, 600, 1_000, 1_500, 1_900, 3_000] {
        for held in [10, 50, 95] {
            let mut sender = FakeClient::new(PauseTimestamps::Continue);
            let words = &sample("capital")[..];
            let words = [words, words].concat();
            sender.speak(&words[..175]);
            let from = 175 - held;
            let output = receive_delayed(
                receiver_with_end_silence(end_silence),
                &sender.sent,
                from,
                millis(1_900) - millis(20) * held as u32,
            );
            let context = format!("{end_silence} ms, {held} packets: {:?}", output.stats);
            assert_eq!(output.stats.decoded, millis(175 * 20), "{context}");
            assert_eq!(
                output.stats.lost + output.stats.late + output.stats.damaged,
                0,
                "{context}"
            );
            assert_eq!(output.losses(), [], "{context}");
            let given: usize = output.utterances().iter().map(|it| it.samples.len()).sum();
            assert!(given >= 175 * 320, "{context}: {given} samples");
        }
    }
}
