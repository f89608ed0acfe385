//! Several transcribers stand for one: who is asked, who is left out, who comes back.
//!
//! Most transcribers here follow a script, and the clock is tokio's, paused.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use audio::{AudioError, Clip, Pcm};
use sandbox::{AssemblyAiEndpoint, Fault as Broken, Sandbox};
use talkback::speech::{
    Failover, FailoverSettings, HealthState, Hints, ProviderFault, SpeechError, Transcriber,
    TranscriptionObserver,
};

use crate::assemblyai::{ObserverLog, prerecorded, settings, sync, utterance};
use crate::scripted_transcriber::{ScriptedTranscriber, bad_audio, outage, refusal};

/// Writes down each fall.
#[derive(Default)]
struct FallbackRecorder(Mutex<Vec<String>>);

impl TranscriptionObserver for FallbackRecorder {
    fn on_fallback(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        let fall = format!("{provider} -> {next}: {error}");
        self.0.lock().expect("no panic inside").push(fall);
    }
}

impl FallbackRecorder {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic inside"))
    }
}

fn clip(seconds: u64) -> Clip {
    Clip::from_pcm(Pcm::from(vec![0.0; seconds as usize * 16_000]))
}

fn failover(providers: &[&Arc<ScriptedTranscriber>]) -> Failover {
    let providers = providers
        .iter()
        .map(|&provider| provider.clone() as Arc<dyn Transcriber>)
        .collect();
    Failover::new(providers, FailoverSettings::default())
}

async fn used_provider(failover: &Failover, observer: &dyn TranscriptionObserver) -> &'static str {
    failover
        .transcribe(&clip(1), &Hints::default(), observer)
        .await
        .expect("somebody hears it")
        .provider
}

async fn error_of(failover: &Failover, clip: &Clip) -> SpeechError {
    failover
        .transcribe(clip, &Hints::default(), &())
        .await
        .expect_err("nobody can")
}

fn health_after(fault: ProviderFault, failed_probes: u32) -> HealthState {
    HealthState::Unhealthy {
        fault,
        failed_probes,
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_one_is_left_out_until_a_probe_passes() {
    let first = Arc::new(
        ScriptedTranscriber::named("first")
            .with_clip_outcomes([outage()])
            .with_probe_outcomes([outage(), outage()]),
    );
    let second = Arc::new(ScriptedTranscriber::named("second"));
    let failover = failover(&[&first, &second]);
    let falls = FallbackRecorder::default();

    assert_eq!(used_provider(&failover, &falls).await, "second");
    assert_eq!(
        falls.take(),
        ["first -> second: the provider can't be reached or is broken"]
    );
    assert_eq!(
        failover.health()[0].health,
        health_after(ProviderFault::Unavailable, 0)
    );

    // Probes after 5 s and 10 s fail; until the third one nobody bothers it with a clip.
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert_eq!(first.probes_seen(), 2);
    assert_eq!(
        failover.health()[0].health,
        health_after(ProviderFault::Unavailable, 2)
    );
    assert_eq!(used_provider(&failover, &falls).await, "second");
    assert!(falls.take().is_empty(), "it was not even tried");
    assert_eq!(first.clips_seen(), 1);

    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(first.probes_seen(), 3);
    assert_eq!(failover.health()[0].health, HealthState::Healthy);
    assert_eq!(used_provider(&failover, &falls).await, "first");

    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(first.probes_seen(), 3, "a healthy one is not probed");
}

#[tokio::test(start_paused = true)]
async fn a_clip_that_one_refuses_leaves_it_healthy() {
    let first = Arc::new(ScriptedTranscriber::named("first").with_clip_outcomes([bad_audio()]));
    let second = Arc::new(ScriptedTranscriber::named("second"));
    let failover = failover(&[&first, &second]);

    assert_eq!(used_provider(&failover, &()).await, "second");
    assert_eq!(failover.health()[0].health, HealthState::Healthy);
    assert_eq!(used_provider(&failover, &()).await, "first");
}

#[tokio::test(start_paused = true)]
async fn the_broken_are_the_last_resort() {
    let first = Arc::new(
        ScriptedTranscriber::named("first")
            .with_clip_outcomes([outage()])
            .with_probe_outcomes([outage(), outage(), outage(), outage(), outage()]),
    );
    let second =
        Arc::new(ScriptedTranscriber::named("second").with_clip_outcomes([Ok(()), outage()]));
    let failover = failover(&[&first, &second]);
    let falls = FallbackRecorder::default();

    assert_eq!(used_provider(&failover, &falls).await, "second");
    falls.take();
    // Now the second breaks too, and the first works again though no probe has said so.
    assert_eq!(used_provider(&failover, &falls).await, "first");
    assert_eq!(
        falls.take(),
        ["second -> first: the provider can't be reached or is broken"]
    );
    assert_eq!(failover.health()[0].health, HealthState::Healthy);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(first.probes_seen(), 0, "its work was proof enough");
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_probed_rarely() {
    let first = Arc::new(
        ScriptedTranscriber::named("first")
            .with_clip_outcomes([refusal()])
            .with_probe_outcomes([refusal(), refusal(), refusal()]),
    );
    let second = Arc::new(ScriptedTranscriber::named("second"));
    let failover = failover(&[&first, &second]);
    let begun = tokio::time::Instant::now();

    assert_eq!(used_provider(&failover, &()).await, "second");
    tokio::time::sleep(Duration::from_secs(500)).await;
    let probes: Vec<u64> = first
        .script()
        .probed_at
        .iter()
        .map(|at| (*at - begun).as_secs())
        .collect();
    assert_eq!(probes, [60, 180, 420]);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_first_ones_error_tells() {
    let first =
        Arc::new(ScriptedTranscriber::named("first").with_clip_outcomes([refusal(), refusal()]));
    let second =
        Arc::new(ScriptedTranscriber::named("second").with_clip_outcomes([bad_audio(), outage()]));
    let failover = failover(&[&first, &second]);

    for _ in 0..2 {
        // The second time round the second one, still healthy, is asked before the first.
        let error = error_of(&failover, &clip(1)).await;
        assert!(matches!(error, SpeechError::KeyRefused(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_that_cannot_be_read_goes_to_nobody_else() {
    let unreadable = Err(SpeechError::Audio(AudioError::NotFound));
    let first = Arc::new(ScriptedTranscriber::named("first").with_clip_outcomes([unreadable]));
    let second = Arc::new(ScriptedTranscriber::named("second"));
    let failover = failover(&[&first, &second]);

    let error = error_of(&failover, &clip(1)).await;
    assert!(matches!(error, SpeechError::Audio(AudioError::NotFound)));
    assert_eq!(second.clips_seen(), 0);
}

#[tokio::test(start_paused = true)]
async fn clips_go_to_those_who_take_them() {
    let short = Arc::new(ScriptedTranscriber::named("short").with_max_seconds(2));
    let long = Arc::new(ScriptedTranscriber::named("long").with_max_seconds(4));
    let failover = failover(&[&short, &long]);

    assert_eq!(failover.capabilities().max_duration, Duration::from_secs(4));
    assert_eq!(used_provider(&failover, &()).await, "short");
    let transcript = failover
        .transcribe(&clip(3), &Hints::default(), &())
        .await
        .expect("the second takes it");
    assert_eq!(transcript.provider, "long");
    let error = error_of(&failover, &clip(5)).await;
    assert!(matches!(error, SpeechError::UnsupportedClip));
    assert_eq!((short.clips_seen(), long.clips_seen()), (1, 1));

    let nobody = Failover::new(Vec::new(), FailoverSettings::default());
    assert!(matches!(
        error_of(&nobody, &clip(1)).await,
        SpeechError::UnsupportedClip
    ));
    assert!(nobody.probe().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_the_language_is_asked_only_if_nobody_has_it() {
    let english = Arc::new(ScriptedTranscriber::named("english").with_languages(&["en"]));
    let german = Arc::new(
        ScriptedTranscriber::named("german")
            .with_languages(&["de"])
            .with_clip_outcomes([outage()]),
    );
    let failover = failover(&[&english, &german]);
    let speaking = |language: &str| Hints {
        languages: vec![language.to_owned()],
        ..Hints::default()
    };

    let error = failover
        .transcribe(&clip(1), &speaking("de-AT"), &())
        .await
        .expect_err("the only one that knows German is down");
    assert!(matches!(error, SpeechError::Unavailable(_)));
    assert_eq!(english.clips_seen(), 0);

    let transcript = failover
        .transcribe(&clip(1), &speaking("fi"), &())
        .await
        .expect("better than nothing");
    assert_eq!(transcript.provider, "english");
}

#[tokio::test(start_paused = true)]
async fn probing_ends_with_the_failover() {
    let first = Arc::new(ScriptedTranscriber::named("first").with_clip_outcomes([outage()]));
    let second = Arc::new(ScriptedTranscriber::named("second"));
    let failover = failover(&[&first, &second]);
    assert_eq!(used_provider(&failover, &()).await, "second");

    drop(failover);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(first.probes_seen(), 0);
    assert_eq!(Arc::strong_count(&first), 1, "no task holds it any more");
}

#[tokio::test(start_paused = true)]
async fn many_clips_at_once_start_one_probing() {
    let first =
        Arc::new(ScriptedTranscriber::named("first").with_clip_outcomes((0..8).map(|_| outage())));
    let second = Arc::new(ScriptedTranscriber::named("second"));
    let failover = failover(&[&first, &second]);

    let all = (0..8).map(|_| used_provider(&failover, &()));
    let heard = futures_util::future::join_all(all).await;
    assert!(heard.iter().all(|&provider| provider == "second"));
    assert_eq!(
        first.clips_seen(),
        8,
        "all were under way before one failed"
    );
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(first.probes_seen(), 1);
}

#[tokio::test(start_paused = true)]
async fn clips_that_fail_meanwhile_do_not_put_off_the_probe() {
    let only = Arc::new(ScriptedTranscriber::named("only").with_clip_outcomes([
        outage(),
        outage(),
        outage(),
    ]));
    let failover = failover(&[&only]);
    let begun = tokio::time::Instant::now();
    for _ in 0..3 {
        error_of(&failover, &clip(1)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(only.script().probed_at, [begun + Duration::from_secs(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_passes_if_anybody_would_work() {
    let first =
        Arc::new(ScriptedTranscriber::named("first").with_probe_outcomes([refusal(), refusal()]));
    let second =
        Arc::new(ScriptedTranscriber::named("second").with_probe_outcomes([Ok(()), outage()]));
    let failover = failover(&[&first, &second]);

    assert!(failover.probe().await.is_ok());
    let error = failover.probe().await.expect_err("both are broken");
    assert!(matches!(error, SpeechError::KeyRefused(_)));
}

/// AssemblyAI Sync, then its other surface, then an engine of our own.
#[tokio::test]
async fn sync_falls_to_prerecorded_and_then_to_the_local_engine() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.assemblyai();
    server.set_transcript("Hello.");
    let settings = settings(&sandbox);
    let local = Arc::new(ScriptedTranscriber::named("local"));
    let failover = Failover::new(
        vec![
            Arc::new(sync(&settings)),
            Arc::new(prerecorded(&settings)),
            local.clone(),
        ],
        FailoverSettings::default(),
    );
    let hints = Hints::default();

    let journal = ObserverLog::default();
    let heard = failover.transcribe(&utterance(), &hints, &journal).await;
    assert_eq!(heard.expect("heard").provider, "AssemblyAI Sync");

    server.add_fault(AssemblyAiEndpoint::Sync, Broken::status(500).always());
    let journal = ObserverLog::default();
    let heard = failover.transcribe(&utterance(), &hints, &journal).await;
    assert_eq!(heard.expect("heard").provider, "AssemblyAI upload");
    let fall = "AssemblyAI Sync -> AssemblyAI upload: the provider can't be reached or is broken";
    assert!(
        journal.lines().contains(&fall.to_owned()),
        "{:?}",
        journal.lines()
    );

    server.add_fault(AssemblyAiEndpoint::Upload, Broken::status(503).always());
    let journal = ObserverLog::default();
    let heard = failover.transcribe(&utterance(), &hints, &journal).await;
    assert_eq!(heard.expect("heard").provider, "local");
    let fall = "AssemblyAI upload -> local: the provider is overloaded";
    assert!(
        journal.lines().contains(&fall.to_owned()),
        "{:?}",
        journal.lines()
    );
    let health: Vec<HealthState> = failover
        .health()
        .into_iter()
        .map(|one| one.health)
        .collect();
    assert_eq!(
        health,
        [
            health_after(ProviderFault::Unavailable, 0),
            health_after(ProviderFault::Overloaded, 0),
            HealthState::Healthy
        ]
    );
}

#[tokio::test]
async fn a_provider_that_is_mended_is_found_by_its_probe() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.assemblyai();
    server.set_transcript("Hello.");
    server.add_fault(AssemblyAiEndpoint::Sync, Broken::status(500).always());
    let local = Arc::new(ScriptedTranscriber::named("local"));
    let failover = Failover::new(
        vec![Arc::new(sync(&settings(&sandbox))), local],
        FailoverSettings {
            first_probe_delay: Duration::from_millis(1),
            max_probe_delay: Duration::from_millis(5),
            ..FailoverSettings::default()
        },
    );
    let hints = Hints::default();
    let heard = failover.transcribe(&utterance(), &hints, &()).await;
    assert_eq!(heard.expect("heard").provider, "local");

    let probes_so_far = server.requests().len();
    server
        .wait_until(|requests| requests.len() > probes_so_far)
        .await;
    server.clear_faults();
    while failover.health()[0].health != HealthState::Healthy {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let heard = failover.transcribe(&utterance(), &hints, &()).await;
    assert_eq!(heard.expect("heard").provider, "AssemblyAI Sync");
}
