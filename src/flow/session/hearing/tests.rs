use bytes::Bytes;

use super::*;
use crate::flow::session::ConsentRule;

fn packet(number: u16, received: Duration) -> VoicePacket {
    VoicePacket {
        sequence: number,
        timestamp: u32::from(number) * 960,
        opus: Bytes::from_static(&[0xF8, 0xFF, 0xFE]),
        received,
    }
}

fn packets(count: u16, received: Duration) -> impl Iterator<Item = (u64, VoicePacket)> {
    (0..count).map(move |number| (7, packet(number, received)))
}

/// A book in which everybody may be heard who has not said no.
fn everybody() -> ConsentBook {
    let book = ConsentBook::default();
    book.set_rule(ConsentRule::Notice);
    book
}

/// A microphone that nobody listens to.
fn microphone(clock: SessionClock) -> (Microphone, Receiver<Sound>) {
    let (sender, sounds) = sync_channel(MAX_WAITING + MAX_WORDS);
    let microphone = Microphone {
        sender,
        open: Arc::default(),
        waiting: Arc::default(),
        book: everybody(),
        allowed: Arc::default(),
        tallies: Arc::default(),
        counts: Counting::default(),
        clock,
    };
    microphone.open(NoticeStands::for_a_test());
    (microphone, sounds)
}

#[test]
fn times_of_the_process_are_times_of_the_session() {
    let clock = SessionClock::at(Duration::from_secs(100));
    let at = |instant| clock.at_instant(instant);
    assert_eq!(at(clock.origin), Duration::from_secs(100));
    let later = clock.origin + Duration::from_secs(3);
    assert_eq!(at(later), Duration::from_secs(103));
    if let Some(before) = clock.origin.checked_sub(Duration::from_secs(1)) {
        assert_eq!(at(before), Duration::from_secs(99));
    }
}

#[test]
fn what_was_said_before_the_yes_is_not_heard_after_it() {
    let clock = SessionClock::at(Duration::from_secs(100));
    let (microphone, sounds) = microphone(clock);
    microphone.packets(packets(3, clock.now()));
    microphone.allow(7, true);
    let (before, after) = (Duration::from_secs(99), Duration::from_secs(200));
    microphone.packets(packets(2, before).chain(packets(1, after)));
    microphone.allow(7, true);
    microphone.allow(7, false);
    microphone.packets(packets(1, after));
    assert!(matches!(sounds.try_recv(), Ok(Sound::Packets(heard)) if heard.len() == 1));
    assert!(matches!(sounds.try_recv(), Ok(Sound::Forget(7))));
    assert!(sounds.try_recv().is_err());
    assert_eq!(microphone.tally().refused, 6);
}

#[test]
fn nobody_is_heard_before_the_notice_stands() {
    let clock = SessionClock::at(Duration::from_secs(100));
    let (sender, _sounds) = sync_channel(MAX_WAITING);
    let (microphone, sounds) = microphone(clock);
    let shut = Microphone {
        sender,
        open: Arc::default(),
        ..microphone.clone()
    };
    let later = Duration::from_secs(200);
    shut.allow(7, true);
    shut.packets(packets(2, later));
    assert_eq!(shut.tally().refused, 2);
    // What was said before does not come through afterwards either.
    shut.open(NoticeStands::for_a_test());
    shut.packets(packets(3, Duration::from_secs(99)));
    assert_eq!(shut.tally().refused, 5);
    microphone.packets(packets(1, later));
    microphone.shut();
    microphone.packets(packets(4, later));
    assert_eq!(shut.tally().refused, 9);
    assert!(matches!(sounds.try_recv(), Ok(Sound::Packets(heard)) if heard.len() == 1));
    assert!(sounds.try_recv().is_err());
}

#[test]
fn no_more_packets_wait_than_there_is_room_for_and_words_always_come_through() {
    let clock = SessionClock::at(Duration::ZERO);
    let (microphone, sounds) = microphone(clock);
    microphone.allow(7, true);
    let later = Duration::from_secs(100);
    for _ in 0..9 {
        microphone.packets(packets(1_000, later));
    }
    assert_eq!(microphone.tally().overrun, 9_000 - MAX_WAITING as u64);
    for _ in 0..MAX_WORDS {
        microphone.over(7);
    }
    assert_eq!(microphone.tally().overrun, 9_000 - MAX_WAITING as u64);
    let waiting = sounds.try_iter().map(|sound| match sound {
        Sound::Packets(packets) => packets.len(),
        Sound::Over(_) | Sound::Forget(_) => 0,
    });
    assert_eq!(waiting.sum::<usize>(), MAX_WAITING);
}

#[test]
fn many_packets_at_once_are_all_heard() {
    let clock = SessionClock::at(Duration::from_secs(10));
    let (microphone, mut heard) =
        listen(EarSettings::default(), clock, everybody()).expect("a thread");
    microphone.open(NoticeStands::for_a_test());
    microphone.allow(7, true);
    let now = clock.now();
    let many = (0..1_000).map(|number| {
        let spoken = Duration::from_millis(2) * u32::from(number);
        (7, packet(number, now + spoken))
    });
    microphone.packets(many);
    microphone.over(7);
    let counts = microphone.counting();
    drop(microphone);
    // The thread counts before it ends.
    while heard.blocking_recv().is_some() {}
    let counts = counts.read()[&7];
    assert_eq!(counts.received, 1_000);
    assert_eq!((counts.lost, counts.late), (0, 0));
}

#[test]
fn whoever_is_heard_stays_heard_in_a_full_call() {
    let (microphone, sounds) = microphone(SessionClock::at(Duration::ZERO));
    for person in 0..MAX_SPEAKERS as u64 {
        microphone.allow(person, true);
    }
    microphone.allow(7, true);
    microphone.allow(1_000, true);
    assert!(microphone.hears(7) && !microphone.hears(1_000));
    assert!(sounds.try_recv().is_err(), "nobody is forgotten");
}
