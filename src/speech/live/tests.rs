use std::time::Duration;

use super::*;
use crate::speech::Transcript;

fn pair() -> (LiveTranscription, LiveProviderHandle) {
    LiveTranscription::new(Duration::from_secs(1))
}

fn transcript(text: &str) -> Transcript {
    Transcript {
        text: text.to_owned(),
        segments: Vec::new(),
        words: Vec::new(),
        language: None,
        confidence: None,
        provider: "test",
    }
}

fn samples(utterance: u64, count: usize) -> LiveInput {
    LiveInput::Samples {
        utterance,
        samples: vec![0.5; count],
    }
}

#[tokio::test]
async fn pushed_samples_arrive_by_utterance() {
    let (live, provider) = pair();
    for utterance in [1, 2] {
        for _ in 0..3 {
            assert!(live.push(utterance, &[0.5; 100]));
        }
    }
    live.end_utterance(1);
    live.end_utterance(7);
    drop(live);
    assert_eq!(provider.next_input(50, 250).await, samples(1, 250));
    assert_eq!(provider.next_input(100, 250).await, samples(1, 50));
    assert_eq!(
        provider.next_input(100, 250).await,
        LiveInput::End { utterance: 1 }
    );
    assert_eq!(provider.next_input(100, 900).await, samples(2, 300));
    assert_eq!(
        provider.next_input(100, 900).await,
        LiveInput::End { utterance: 2 }
    );
    assert_eq!(provider.next_input(100, 900).await, LiveInput::Closed);
    provider.wait_cancelled().await;
}

#[tokio::test]
async fn the_queue_is_bounded_and_frees_space() {
    let (live, provider) = pair();
    assert!(live.push(0, &[0.5; 16_000]));
    assert!(!live.push(0, &[0.5]));
    assert_eq!(provider.next_input(1, 1_000).await, samples(0, 1_000));
    assert!(live.push(0, &[0.5; 1_000]));
    provider.send_failure(0, SpeechError::UnsupportedClip);
    assert!(!live.push(0, &[0.5]), "the utterance has failed");
    assert!(
        live.push(1, &[0.5; 16_000]),
        "failed audio is no longer queued"
    );
}

#[tokio::test]
async fn newer_partials_replace_unread_ones() {
    let (mut live, provider) = pair();
    assert!(live.push(0, &[0.5]) && live.push(1, &[0.5]));
    for text in ["One", "One two"] {
        provider.send_partial(0, text.to_owned());
    }
    provider.send_partial(9, "unknown utterance".to_owned());
    let partial = live.next_event().await;
    assert!(matches!(partial, Some(LiveEvent::Partial { text, .. }) if text == "One two"));
    provider.send_partial(0, "One two three".to_owned());
    provider.send_final(0, transcript("One two three."));
    provider.send_final(0, transcript("again"));
    provider.send_partial(0, "late".to_owned());
    provider.fail_all(|| SpeechError::UnsupportedClip);
    drop(provider);
    let event = live.next_event().await.expect("a final");
    assert!(matches!(event, LiveEvent::Final { utterance: 0, .. }));
    assert!(!format!("{event:?}").contains("three"), "{event:?}");
    let event = live.next_event().await.expect("a failure");
    assert!(matches!(event, LiveEvent::Failed { utterance: 1, .. }));
    assert!(live.next_event().await.is_none());
    assert!(!live.push(2, &[0.5]), "the provider is gone");
}

#[tokio::test(start_paused = true)]
async fn session_open_time_adds_up() {
    let (live, provider) = pair();
    for _ in 0..2 {
        provider.mark_session_open();
        tokio::time::advance(Duration::from_secs(5)).await;
        provider.mark_session_closed();
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!(live.session_open_time(), Duration::from_secs(10));
    provider.mark_session_open();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(live.session_open_time(), Duration::from_secs(11));
}
