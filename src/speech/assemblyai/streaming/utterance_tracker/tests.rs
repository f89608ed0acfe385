use std::time::Duration;

use proptest::prelude::*;

use super::*;

const TIMEOUTS: AnswerTimeouts = AnswerTimeouts {
    after_request: Duration::from_secs(3),
    after_answer: Duration::from_millis(700),
};
/// One second.
const SECOND: usize = SAMPLE_RATE as usize;

fn loud_samples(samples: usize) -> Vec<i16> {
    (0..samples)
        .map(|n| if n % 2 == 0 { 9_000 } else { -9_000 })
        .collect()
}

fn turn(order: u64, end_of_turn: bool, words: &[(&str, f64, f64)]) -> StreamingTurn {
    let texts: Vec<&str> = words.iter().map(|(text, ..)| *text).collect();
    StreamingTurn {
        turn_order: order,
        end_of_turn,
        transcript: texts.join(" "),
        words: words
            .iter()
            .map(|(text, start, end)| StreamingWord {
                text: (*text).to_owned(),
                start: *start,
                end: *end,
                confidence: None,
            })
            .collect(),
        language_code: None,
    }
}

fn tracker() -> UtteranceTracker {
    let mut tracker = UtteranceTracker::new("test", TIMEOUTS);
    assert!(tracker.begin_session().is_empty());
    tracker
}

/// Sends everything; returns the number of samples and of forced endpoints.
fn send_all(tracker: &mut UtteranceTracker, now: Instant) -> (usize, usize) {
    let (mut samples, mut endpoints) = (0, 0);
    loop {
        match tracker.next_action(usize::MAX, now) {
            SendAction::Audio(message) => samples += message.len(),
            SendAction::ForceEndpoint => endpoints += 1,
            SendAction::WaitForAllowance(_) | SendAction::Idle => return (samples, endpoints),
        }
    }
}

fn text(reported: Option<(u64, Transcript)>) -> Option<(u64, String)> {
    reported.map(|(number, transcript)| (number, transcript.text))
}

#[test]
fn words_are_assigned_to_utterances_by_time() {
    let now = Instant::now();
    let mut tracker = tracker();
    for number in [4, 9] {
        tracker.push_samples(number, loud_samples(SECOND));
        tracker.end_utterance(number);
    }
    assert_eq!(send_all(&mut tracker, now), (2 * SECOND, 2));
    // The service detected no pause between the two.
    let both = [
        ("One", 100.0, 400.0),
        ("two.", 500.0, 900.0),
        ("Three.", 1_050.0, 1_900.0),
    ];
    tracker.handle_turn(&turn(0, true, &both), now);
    let (number, first) = tracker.take_complete(now).expect("the first");
    assert_eq!((number, &*first.text), (4, "One two."));
    assert_eq!(first.words[1].end, Duration::from_millis(900));
    let (number, second) = tracker.take_complete(now).expect("the second");
    assert_eq!((number, &*second.text), (9, "Three."));
    assert_eq!(second.words[0].start, Duration::from_millis(50));
    assert!(tracker.is_empty());
    // What arrives too late belongs to no utterance.
    let update = tracker.handle_turn(&turn(1, true, &both), now);
    assert!(update.partials.is_empty() && !update.progress);
}

#[test]
fn an_ended_turn_completes_the_utterance_if_only_silence_follows() {
    let now = Instant::now();
    let mut tracker = tracker();
    tracker.push_samples(0, loud_samples(SECOND));
    tracker.push_samples(0, vec![0; SECOND]);
    send_all(&mut tracker, now);
    tracker.handle_turn(&turn(0, true, &[("Yes.", 0.0, 900.0)]), now);
    assert_eq!(tracker.next_deadline(), None, "the utterance goes on");
    tracker.end_utterance(0);
    send_all(&mut tracker, now);
    assert_eq!(
        text(tracker.take_complete(now)),
        Some((0, "Yes.".to_owned()))
    );
}

#[test]
fn an_ended_turn_does_not_complete_the_utterance_if_speech_follows() {
    let now = Instant::now();
    let mut tracker = tracker();
    tracker.push_samples(0, loud_samples(SECOND));
    tracker.push_samples(0, vec![0; SECOND / 2]);
    tracker.push_samples(0, loud_samples(SECOND));
    tracker.end_utterance(0);
    send_all(&mut tracker, now);
    tracker.handle_turn(&turn(0, true, &[("One.", 0.0, 900.0)]), now);
    assert_eq!(tracker.next_deadline(), Some(now + TIMEOUTS.after_answer));
    tracker.handle_turn(&turn(1, false, &[("Two", 1_600.0, 1_900.0)]), now);
    assert_eq!(
        tracker.next_deadline(),
        Some(now + TIMEOUTS.after_request),
        "a turn is open"
    );
    tracker.handle_turn(&turn(1, true, &[("Two.", 1_600.0, 2_400.0)]), now);
    let reported = text(tracker.take_complete(now));
    assert_eq!(reported, Some((0, "One. Two.".to_owned())));
}

#[test]
fn a_partial_becomes_final_after_the_timeout() {
    let now = Instant::now();
    let mut tracker = tracker();
    tracker.push_samples(0, loud_samples(SECOND));
    tracker.end_utterance(0);
    send_all(&mut tracker, now);
    let update = tracker.handle_turn(&turn(0, false, &[("Perhaps", 0.0, 800.0)]), now);
    assert_eq!(update.partials, [(0, "Perhaps".to_owned())]);
    assert!(tracker.take_complete(now).is_none());
    let later = now + TIMEOUTS.after_request;
    assert_eq!(
        text(tracker.take_complete(later)),
        Some((0, "Perhaps".to_owned()))
    );
}

#[test]
fn a_new_session_gets_the_unrecognized_audio() {
    let now = Instant::now();
    let mut tracker = tracker();
    tracker.push_samples(0, loud_samples(2 * SECOND));
    send_all(&mut tracker, now);
    tracker.handle_turn(&turn(0, true, &[("One.", 0.0, 1_000.0)]), now);
    tracker.handle_turn(&turn(1, false, &[("Tw", 1_500.0, 1_800.0)]), now);
    tracker.end_utterance(0);
    assert!(tracker.begin_session().is_empty());
    assert_eq!(send_all(&mut tracker, now), (SECOND, 1));
    // Session time and turn numbers start again.
    tracker.handle_turn(&turn(0, true, &[("Two.", 500.0, 900.0)]), now);
    let (_, transcript) = tracker.take_complete(now).expect("all of it");
    assert_eq!(transcript.text, "One. Two.");
    assert_eq!(transcript.words[1].start, Duration::from_millis(1_500));
}

#[test]
fn discarded_audio_fails_the_utterance() {
    let now = Instant::now();
    let mut tracker = tracker();
    for _ in 0..130 {
        tracker.push_samples(0, loud_samples(SECOND));
        send_all(&mut tracker, now);
    }
    assert!(tracker.utterances[0].audio.len() <= MAX_KEPT_SAMPLES);
    tracker.push_samples(1, loud_samples(SECOND));
    assert_eq!(tracker.begin_session(), [0]);
    assert_eq!(tracker.utterances.len(), 1);
}

#[derive(Clone, Debug)]
enum TrackerAction {
    Samples(usize),
    End,
    Send(usize),
    Turn { end: bool, start: u32, length: u32 },
    NewSession,
    EndSession,
    Wait(u64),
}

fn tracker_action() -> impl Strategy<Value = TrackerAction> {
    prop_oneof![
        4 => (1_usize..5_000).prop_map(TrackerAction::Samples),
        2 => Just(TrackerAction::End),
        4 => (0_usize..5_000).prop_map(TrackerAction::Send),
        3 => (any::<bool>(), 0_u32..5_000, 0_u32..2_000)
            .prop_map(|(end, start, length)| TrackerAction::Turn { end, start, length }),
        1 => Just(TrackerAction::NewSession),
        1 => Just(TrackerAction::EndSession),
        2 => (0_u64..4_000).prop_map(TrackerAction::Wait),
    ]
}

proptest! {
    /// Whatever the service sends, and however often sessions break: every utterance is reported
    /// once, in order, and message lengths are within the service's limits.
    #[test]
    fn every_utterance_is_reported_once(actions in prop::collection::vec(tracker_action(), 0..120)) {
        let mut now = Instant::now();
        let mut tracker = tracker();
        let (mut number, mut order) = (0, 0);
        let (mut has_audio, mut ended, mut reported) = (false, Vec::new(), Vec::new());
        for action in actions {
            match action {
                TrackerAction::Samples(count) => {
                    tracker.push_samples(number, loud_samples(count));
                    has_audio = true;
                }
                TrackerAction::End if has_audio => {
                    tracker.end_utterance(number);
                    ended.push(number);
                    number += 1;
                    has_audio = false;
                }
                TrackerAction::End => {}
                TrackerAction::Send(allowed) => {
                    if let SendAction::Audio(message) = tracker.next_action(allowed, now) {
                        prop_assert!((MIN_MESSAGE_SAMPLES..=MESSAGE_SAMPLES).contains(&message.len()));
                        prop_assert!(message.len() <= allowed);
                    }
                }
                TrackerAction::Turn { end, start, length } => {
                    let (start, end_at) = (f64::from(start), f64::from(start + length));
                    tracker.handle_turn(&turn(order, end, &[("word", start, end_at)]), now);
                    order += u64::from(end);
                }
                TrackerAction::NewSession => {
                    tracker.begin_session();
                    order = 0;
                }
                TrackerAction::EndSession => {
                    tracker.end_session();
                    while let Some((number, _)) = tracker.take_complete_without_session() {
                        reported.push(number);
                    }
                    tracker.begin_session();
                    order = 0;
                }
                TrackerAction::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
            }
            while let Some((number, _)) = tracker.take_complete(now) {
                reported.push(number);
            }
        }
        now += TIMEOUTS.after_request;
        send_all(&mut tracker, now);
        now += TIMEOUTS.after_request;
        while let Some((number, _)) = tracker.take_complete(now) {
            reported.push(number);
        }
        prop_assert_eq!(reported, ended);
    }
}
