//! Packets that had to wait before they could be given to the ear, with the time at which they
//! came from the network: nothing of them is lost.

use super::*;

/// Gives what came from the `from`th packet on only when the last one of them has come and
/// `later`. Meanwhile the ear is woken as always.
fn held_up(mut ear: Ear<Always>, sent: &[VoicePacket], from: usize, later: Duration) -> Heard {
    let (at_once, held) = sent.split_at(from);
    let mut events = Vec::new();
    let mut now = Duration::ZERO;
    for packet in at_once {
        wake(&mut ear, packet.received, &mut now, &mut events);
        now = packet.received;
        ear.hear(packet.clone());
        advance(&mut ear, now, &mut events);
    }
    let released = held.last().map_or(now, |last| last.received + later);
    wake(&mut ear, released, &mut now, &mut events);
    now = released;
    for packet in held {
        ear.hear(packet.clone());
    }
    advance(&mut ear, now, &mut events);
    wake(&mut ear, Duration::MAX, &mut now, &mut events);
    let mut rest = Vec::new();
    ear.finish(now, &mut rest);
    events.extend(rest.into_iter().map(|event| (now, event)));
    let counts = ear.counts();
    Heard { events, counts }
}

fn patient(end_silence: u64) -> Ear<Always> {
    let settings = EarSettings {
        end_silence: ms(end_silence),
        ..EarSettings::default()
    };
    Ear::with_judge(settings, Always).expect("an ear")
}

#[test]
fn whoever_begins_to_speak_is_heard_from_the_first_word_in_its_place() {
    for habit in [Habit::GoOn, Habit::StandStill] {
        let mut sender = Sender::new(habit);
        let words = &sample("capital")[..90];
        sender.speak(words);
        let heard = held_up(patient(600), &sender.sent, 0, ms(100));
        assert_eq!(heard.starts(), [ms(1_000)], "{habit:?}");
        assert_eq!(heard.counts.heard, ms(1_800));
        assert_eq!(
            heard.counts.lost + heard.counts.late + heard.counts.damaged,
            0
        );
        assert!(heard.samples_from(ms(1_000))[..90 * 320] == bare(words));
    }
}

#[test]
fn a_pause_among_what_was_held_up_has_its_length() {
    for habit in [Habit::GoOn, Habit::StandStill] {
        let mut sender = Sender::new(habit);
        let words = &sample("capital")[..20];
        sender.speak(words);
        sender.stop();
        sender.pause(ms(800));
        sender.speak(words);
        let heard = held_up(patient(600), &sender.sent, 0, ms(100));
        let starts = heard.starts();
        assert_eq!(starts.len(), 2, "{habit:?}");
        assert_eq!(starts[0], ms(1_000));
        assert!(starts[1].abs_diff(ms(2_300)) < ms(16), "{starts:?}");
        assert_eq!(heard.counts.lost + heard.counts.damaged, 0);
    }
}

#[test]
fn what_is_held_up_in_mid_sentence_is_heard_to_the_end() {
    for end_silence in [200, 600, 1_000, 1_500, 1_900, 3_000] {
        for held in [10, 50, 95] {
            let mut sender = Sender::new(Habit::GoOn);
            let words = &sample("capital")[..];
            let words = [words, words].concat();
            sender.speak(&words[..175]);
            let from = 175 - held;
            let heard = held_up(
                patient(end_silence),
                &sender.sent,
                from,
                ms(1_900) - ms(20) * held as u32,
            );
            let told = format!("{end_silence} ms, {held} packets: {:?}", heard.counts);
            assert_eq!(heard.counts.heard, ms(175 * 20), "{told}");
            assert_eq!(
                heard.counts.lost + heard.counts.late + heard.counts.damaged,
                0,
                "{told}"
            );
            assert_eq!(heard.lost(), [], "{told}");
            let given: usize = heard.utterances().iter().map(|it| it.samples.len()).sum();
            assert!(given >= 175 * 320, "{told}: {given} samples");
        }
    }
}
