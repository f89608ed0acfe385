//! A recording that is decoded while it is being made is the same as one that was whole before.

use std::sync::mpsc;
use std::time::Duration;

use audio::{AnalysisObserver, AudioAnalysis, AudioError, AudioLimits, Spool, analyze_with};

use crate::audio_formats::{FORMAT_CASES, fixture};
use crate::audio_irregular_files::IRREGULAR_FILES;
use crate::support::sample_path;

/// What a listener was told, and a word to whoever sends once something was decoded.
#[derive(Default)]
struct SampleCollector {
    samples: Vec<f32>,
    on_first: Option<mpsc::Sender<()>>,
}

impl AnalysisObserver for SampleCollector {
    fn on_samples(&mut self, samples: &[f32]) {
        self.samples.extend(samples);
        if let Some(first) = self.on_first.take() {
            let _ = first.send(());
        }
    }

    fn on_restart(&mut self) {
        self.samples.clear();
    }
}

/// Sends all of it in pieces of so many bytes.
async fn survey_incrementally(
    bytes: &[u8],
    piece: usize,
) -> Result<(AudioAnalysis, SampleCollector), AudioError> {
    let mut spool = Spool::new(u64::MAX).expect("a file");
    let listening = analyze_with(
        spool.recording("It"),
        AudioLimits::default(),
        SampleCollector::default(),
    );
    let listening = tokio::spawn(listening);
    for piece in bytes.chunks(piece) {
        spool.write(piece).expect("written");
        tokio::task::yield_now().await;
    }
    spool.finish("It").expect("finished");
    listening.await.expect("no panic")
}

async fn survey_at_once(bytes: &[u8]) -> Result<(AudioAnalysis, SampleCollector), AudioError> {
    let mut spool = Spool::new(u64::MAX).expect("a file");
    spool.write(bytes).expect("written");
    let recording = spool.finish("It").expect("finished");
    assert!(!recording.is_growing());
    analyze_with(
        recording,
        AudioLimits::default(),
        SampleCollector::default(),
    )
    .await
}

/// An outcome without what differs from file to file.
fn describe(outcome: &Result<(AudioAnalysis, SampleCollector), AudioError>) -> String {
    match outcome {
        Ok((survey, heard)) => {
            let pcm = survey.clip.pcm().expect("a short one");
            assert_eq!(pcm.samples(), heard.samples, "all of it was heard");
            format!(
                "{:?} {:?} {:?}",
                survey.info.codec, survey.is_truncated, survey.speech_duration
            )
        }
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn every_format_is_decoded_while_it_grows() {
    let odd = IRREGULAR_FILES.iter().map(|odd| odd.0);
    for name in FORMAT_CASES.iter().map(|case| case.0).chain(odd) {
        let bytes = std::fs::read(fixture(name)).expect("a fixture");
        let expected = survey_at_once(&bytes).await;
        for piece in [1_000, bytes.len() / 2 + 1] {
            let grown = survey_incrementally(&bytes, piece).await;
            assert_eq!(
                describe(&grown),
                describe(&expected),
                "{name} in pieces of {piece}"
            );
            let (Ok((grown, _)), Ok((expected, _))) = (&grown, &expected) else {
                continue;
            };
            // How much of the last block is padding may be known too late: 20 ms of it at most.
            let longer = grown
                .clip
                .duration()
                .saturating_sub(expected.clip.duration());
            assert!(longer <= Duration::from_millis(20), "{name}: {longer:?}");
            assert!(grown.clip.duration() >= expected.clip.duration(), "{name}");
        }
    }
}

/// What browsers record can be heard before it ends.
#[tokio::test]
async fn the_first_half_is_heard_before_the_second_has_come() {
    let bytes = std::fs::read(sample_path("question.ogg")).expect("a sample");
    let mut spool = Spool::new(u64::MAX).expect("a file");
    let (first, heard) = mpsc::channel();
    let listener = SampleCollector {
        on_first: Some(first),
        ..SampleCollector::default()
    };
    let listening = analyze_with(spool.recording("It"), AudioLimits::default(), listener);
    let listening = tokio::spawn(listening);
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    spool.write(half).expect("written");
    let heard = tokio::task::spawn_blocking(move || heard.recv_timeout(Duration::from_secs(30)));
    heard.await.expect("no panic").expect("heard something");
    spool.write(rest).expect("written");
    spool.finish("It").expect("finished");
    let (survey, _) = listening.await.expect("no panic").expect("a recording");
    assert!(!survey.is_truncated);
}

#[tokio::test]
async fn what_breaks_off_ends_with_an_error() {
    let bytes = std::fs::read(sample_path("question.ogg")).expect("a sample");
    for come in [0, 5, bytes.len() / 2] {
        let mut spool = Spool::new(u64::MAX).expect("a file");
        let recording = spool.recording("It");
        spool.write(&bytes[..come]).expect("written");
        let listening = tokio::spawn(analyze_with(recording, AudioLimits::default(), |_| {}));
        drop(spool);
        let outcome = listening.await.expect("no panic").map(|(survey, _)| survey);
        assert!(
            matches!(outcome, Err(AudioError::Unreadable(_))),
            "{come}: {outcome:?}"
        );
    }
}
