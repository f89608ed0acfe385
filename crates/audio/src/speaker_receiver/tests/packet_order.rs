//! The order in which packets arrive makes no difference.

use proptest::prelude::*;

use super::*;

fn sentence() -> Vec<VoicePacket> {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("capital"));
    sender.sent
}

#[test]
fn wraparound_is_not_a_gap() {
    let sent = sentence();
    assert!(sent[0].sequence > sent[89].sequence && sent[0].timestamp > sent[89].timestamp);
    let output = receive_then_finish(receiver_without_vad(), &sent);
    assert_eq!(output.stats.lost, 0);
    assert!(output.samples_from(millis(1_000)) == decode_with_libopus(&sample("capital")));
    assert_eq!(output.speech_starts(), [millis(1_000)]);
}

#[test]
fn a_packet_that_comes_too_late_is_lost_once() {
    let mut sent = sentence();
    sent[40].received += millis(900);
    let output = receive_then_finish(receiver_without_vad(), &sent);
    assert_eq!((output.stats.lost, output.stats.late), (1, 1));
    assert_eq!(output.losses(), [(millis(1_800), millis(20))]);
    assert_eq!(output.samples_from(millis(1_000)).len(), sent.len() * 320);
}

#[test]
fn the_wait_adapts_to_late_packets() {
    // Every fifth packet takes 150 ms longer than the others: more than the initial wait.
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("numbers"));
    for packet in sender.sent.iter_mut().skip(5).step_by(5) {
        packet.received += millis(150);
    }
    let output = receive_then_finish(receiver_without_vad(), &sender.sent);
    assert!(output.stats.late >= 1, "{:?}", output.stats);
    assert!(output.stats.late <= 3, "{:?}", output.stats);
}

#[test]
fn a_network_stall_is_not_a_pause() {
    let mut sent = sentence();
    for packet in &mut sent[30..55] {
        packet.received = millis(1_000) + millis(20) * 55;
    }
    let output = receive_then_finish(receiver_without_vad(), &sent);
    assert!(output.samples_from(millis(1_000)) == decode_with_libopus(&sample("capital")));
    assert_eq!(output.utterances().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_within_the_wait_gives_the_same_samples(
        delays in prop::collection::vec(0_u64..=40, 60),
        copies in prop::collection::vec((0_usize..60, 0_u64..500), 0..40),
        sequence in any::<u16>(),
        timestamp in any::<u32>(),
    ) {
        let mut sent = sentence();
        sent.truncate(60);
        for (index, packet) in sent.iter_mut().enumerate() {
            packet.sequence = sequence.wrapping_add(index as u16);
            packet.timestamp = timestamp.wrapping_add(index as u32 * PACKET_TICKS);
        }
        let in_order = receive_then_finish(receiver_without_vad(), &sent);
        for (packet, delay) in sent.iter_mut().zip(&delays) {
            packet.received += millis(*delay);
        }
        for (original, later) in &copies {
            let mut copy = sent[*original].clone();
            copy.received += millis(*later);
            sent.push(copy);
        }
        let output = receive_then_finish(receiver_without_vad(), &sent);
        prop_assert_eq!(output.stats.lost, 0);
        prop_assert_eq!(output.stats.late, 0);
        prop_assert_eq!(output.stats.duplicate, copies.len() as u64);
        let (start, expected) = (output.speech_starts()[0], in_order.speech_starts()[0]);
        prop_assert!(output.samples_from(start) == in_order.samples_from(expected));
        prop_assert!(start >= expected && start <= expected + millis(40), "{:?}", start);
    }
}
