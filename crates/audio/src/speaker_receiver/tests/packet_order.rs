//! The order in which packets arrive makes no difference.

use proptest::prelude::*;

use super::*;

fn sentence() -> Vec<VoicePacket> {
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("capital"));
    sender.sent
}

#[test]
fn numbers_that_begin_again_are_no_gap() {
    let sent = sentence();
    assert!(sent[0].sequence > sent[89].sequence && sent[0].timestamp > sent[89].timestamp);
    let heard = receive_then_finish(receiver_without_vad(), &sent);
    assert_eq!(heard.stats.lost, 0);
    assert!(heard.samples_from(millis(1_000)) == decode_with_libopus(&sample("capital")));
    assert_eq!(heard.speech_starts(), [millis(1_000)]);
}

#[test]
fn a_packet_that_comes_too_late_is_lost_once() {
    let mut sent = sentence();
    sent[40].received += millis(900);
    let heard = receive_then_finish(receiver_without_vad(), &sent);
    assert_eq!((heard.stats.lost, heard.stats.late), (1, 1));
    assert_eq!(heard.losses(), [(millis(1_800), millis(20))]);
    assert_eq!(heard.samples_from(millis(1_000)).len(), sent.len() * 320);
}

#[test]
fn the_wait_grows_with_the_network() {
    // Every fifth packet takes 150 ms longer than the others: more than the initial wait.
    let mut sender = FakeClient::new(PauseTimestamps::Continue);
    sender.speak(&sample("numbers"));
    for packet in sender.sent.iter_mut().skip(5).step_by(5) {
        packet.received += millis(150);
    }
    let heard = receive_then_finish(receiver_without_vad(), &sender.sent);
    assert!(heard.stats.late >= 1, "{:?}", heard.stats);
    assert!(heard.stats.late <= 3, "{:?}", heard.stats);
}

#[test]
fn a_stalled_network_is_no_pause() {
    let mut sent = sentence();
    for packet in &mut sent[30..55] {
        packet.received = millis(1_000) + millis(20) * 55;
    }
    let heard = receive_then_finish(receiver_without_vad(), &sent);
    assert!(heard.samples_from(millis(1_000)) == decode_with_libopus(&sample("capital")));
    assert_eq!(heard.utterances().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_order_within_the_wait_gives_the_same(
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
        let heard = receive_then_finish(receiver_without_vad(), &sent);
        prop_assert_eq!(heard.stats.lost, 0);
        prop_assert_eq!(heard.stats.late, 0);
        prop_assert_eq!(heard.stats.duplicate, copies.len() as u64);
        let (start, expected) = (heard.speech_starts()[0], in_order.speech_starts()[0]);
        prop_assert!(heard.samples_from(start) == in_order.samples_from(expected));
        prop_assert!(start >= expected && start <= expected + millis(40), "{:?}", start);
    }
}
