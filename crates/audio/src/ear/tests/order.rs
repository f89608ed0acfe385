//! The order in which packets come makes no difference.

use proptest::prelude::*;

use super::*;

fn sentence() -> Vec<VoicePacket> {
    let mut sender = Sender::new(Habit::GoOn);
    sender.speak(&sample("capital"));
    sender.sent
}

#[test]
fn numbers_that_begin_again_are_no_gap() {
    let sent = sentence();
    assert!(sent[0].sequence > sent[89].sequence && sent[0].timestamp > sent[89].timestamp);
    let heard = listen_and_leave(all_ears(), &sent);
    assert_eq!(heard.counts.lost, 0);
    assert!(heard.samples_from(ms(1_000)) == bare(&sample("capital")));
    assert_eq!(heard.starts(), [ms(1_000)]);
}

#[test]
fn a_packet_that_comes_too_late_is_lost_once() {
    let mut sent = sentence();
    sent[40].received += ms(900);
    let heard = listen_and_leave(all_ears(), &sent);
    assert_eq!((heard.counts.lost, heard.counts.late), (1, 1));
    assert_eq!(heard.lost(), [(ms(1_800), ms(20))]);
    assert_eq!(heard.samples_from(ms(1_000)).len(), sent.len() * 320);
}

#[test]
fn the_wait_grows_with_the_network() {
    // Each fifth packet takes 150 ms longer than the others: more than the wait at first.
    let mut sender = Sender::new(Habit::GoOn);
    sender.speak(&sample("numbers"));
    for packet in sender.sent.iter_mut().skip(5).step_by(5) {
        packet.received += ms(150);
    }
    let heard = listen_and_leave(all_ears(), &sender.sent);
    assert!(heard.counts.late >= 1, "{:?}", heard.counts);
    assert!(heard.counts.late <= 3, "{:?}", heard.counts);
}

#[test]
fn a_stalled_network_is_no_pause() {
    let mut sent = sentence();
    for packet in &mut sent[30..55] {
        packet.received = ms(1_000) + ms(20) * 55;
    }
    let heard = listen_and_leave(all_ears(), &sent);
    assert!(heard.samples_from(ms(1_000)) == bare(&sample("capital")));
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
            packet.timestamp = timestamp.wrapping_add(index as u32 * TICKS);
        }
        let in_order = listen_and_leave(all_ears(), &sent);
        for (packet, delay) in sent.iter_mut().zip(&delays) {
            packet.received += ms(*delay);
        }
        for (original, later) in &copies {
            let mut copy = sent[*original].clone();
            copy.received += ms(*later);
            sent.push(copy);
        }
        let heard = listen_and_leave(all_ears(), &sent);
        prop_assert_eq!(heard.counts.lost, 0);
        prop_assert_eq!(heard.counts.late, 0);
        prop_assert_eq!(heard.counts.duplicate, copies.len() as u64);
        let (start, expected) = (heard.starts()[0], in_order.starts()[0]);
        prop_assert!(heard.samples_from(start) == in_order.samples_from(expected));
        prop_assert!(start >= expected && start <= expected + ms(40), "{:?}", start);
    }
}
