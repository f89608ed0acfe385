//! Several transcribers stand for one: who is asked, who is left out, who comes back.
//!
//! Most transcribers here follow a script, and the clock is tokio's, paused.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use audio::{AudioError, Clip, Pcm};
use sandbox::{Endpoint, Fault as Broken, Sandbox};
use talkback::speech::{
    Failover, FailoverSettings, Fault, Health, Hints, Observer, SpeechError, Transcriber,
};

use crate::assemblyai::{Journal, prerecorded, settings, sync, utterance};
use crate::scripted::{Scripted, bad_audio, down, refused};

/// Writes down each fall.
#[derive(Default)]
struct Falls(Mutex<Vec<String>>);

impl Observer for Falls {
    fn fell_back(&self, provider: &'static str, error: &SpeechError, next: &'static str) {
        let fall = format!("{provider} -> {next}: {error}");
        self.0.lock().expect("no panic inside").push(fall);
    }
}

impl Falls {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic inside"))
    }
}

fn clip(seconds: u64) -> Clip {
    Clip::from_pcm(Pcm::from(vec![0.0; seconds as usize * 16_000]))
}

fn failover(providers: &[&Arc<Scripted>]) -> Failover {
    let providers = providers
        .iter()
        .map(|&provider| provider.clone() as Arc<dyn Transcriber>)
        .collect();
    Failover::new(providers, FailoverSettings::default())
}

async fn who_hears(failover: &Failover, observer: &dyn Observer) -> &'static str {
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

fn ill(fault: Fault, failed_probes: u32) -> Health {
    Health::Unhealthy {
        fault,
        failed_probes,
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_one_is_left_out_until_a_probe_passes() {
    let first = Arc::new(
        Scripted::named("first")
            .clips([down()])
            .probes([down(), down()]),
    );
    let second = Arc::new(Scripted::named("second"));
    let failover = failover(&[&first, &second]);
    let falls = Falls::default();

    assert_eq!(who_hears(&failover, &falls).await, "second");
    assert_eq!(
        falls.take(),
        ["first -> second: the provider can't be reached or is broken"]
    );
    assert_eq!(failover.health()[0].health, ill(Fault::Unavailable, 0));

    // Probes after 5 s and 10 s fail; until the third one nobody bothers it with a clip.
    tokio::time::sleep(Duration::from_secs(16)).await;
    assert_eq!(first.probes_seen(), 2);
    assert_eq!(failover.health()[0].health, ill(Fault::Unavailable, 2));
    assert_eq!(who_hears(&failover, &falls).await, "second");
    assert!(falls.take().is_empty(), "it was not even tried");
    assert_eq!(first.clips_seen(), 1);

    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(first.probes_seen(), 3);
    assert_eq!(failover.health()[0].health, Health::Healthy);
    assert_eq!(who_hears(&failover, &falls).await, "first");

    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(first.probes_seen(), 3, "a healthy one is not probed");
}

#[tokio::test(start_paused = true)]
async fn a_clip_that_one_refuses_leaves_it_healthy() {
    let first = Arc::new(Scripted::named("first").clips([bad_audio()]));
    let second = Arc::new(Scripted::named("second"));
    let failover = failover(&[&first, &second]);

    assert_eq!(who_hears(&failover, &()).await, "second");
    assert_eq!(failover.health()[0].health, Health::Healthy);
    assert_eq!(who_hears(&failover, &()).await, "first");
}

#[tokio::test(start_paused = true)]
async fn the_broken_are_the_last_resort() {
    let first = Arc::new(Scripted::named("first").clips([down()]).probes([
        down(),
        down(),
        down(),
        down(),
        down(),
    ]));
    let second = Arc::new(Scripted::named("second").clips([Ok(()), down()]));
    let failover = failover(&[&first, &second]);
    let falls = Falls::default();

    assert_eq!(who_hears(&failover, &falls).await, "second");
    falls.take();
    // Now the second breaks too, and the first works again though no probe has said so.
    assert_eq!(who_hears(&failover, &falls).await, "first");
    assert_eq!(
        falls.take(),
        ["second -> first: the provider can't be reached or is broken"]
    );
    assert_eq!(failover.health()[0].health, Health::Healthy);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(first.probes_seen(), 0, "its work was proof enough");
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_probed_rarely() {
    let first = Arc::new(Scripted::named("first").clips([refused()]).probes([
        refused(),
        refused(),
        refused(),
    ]));
    let second = Arc::new(Scripted::named("second"));
    let failover = failover(&[&first, &second]);
    let begun = tokio::time::Instant::now();

    assert_eq!(who_hears(&failover, &()).await, "second");
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
    let first = Arc::new(Scripted::named("first").clips([refused(), refused()]));
    let second = Arc::new(Scripted::named("second").clips([bad_audio(), down()]));
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
    let first = Arc::new(Scripted::named("first").clips([unreadable]));
    let second = Arc::new(Scripted::named("second"));
    let failover = failover(&[&first, &second]);

    let error = error_of(&failover, &clip(1)).await;
    assert!(matches!(error, SpeechError::Audio(AudioError::NotFound)));
    assert_eq!(second.clips_seen(), 0);
}

#[tokio::test(start_paused = true)]
async fn clips_go_to_those_who_take_them() {
    let short = Arc::new(Scripted::named("short").up_to(2));
    let long = Arc::new(Scripted::named("long").up_to(4));
    let failover = failover(&[&short, &long]);

    assert_eq!(failover.capabilities().longest, Duration::from_secs(4));
    assert_eq!(who_hears(&failover, &()).await, "short");
    let transcript = failover
        .transcribe(&clip(3), &Hints::default(), &())
        .await
        .expect("the second takes it");
    assert_eq!(transcript.provider, "long");
    let error = error_of(&failover, &clip(5)).await;
    assert!(matches!(error, SpeechError::Unsuitable));
    assert_eq!((short.clips_seen(), long.clips_seen()), (1, 1));

    let nobody = Failover::new(Vec::new(), FailoverSettings::default());
    assert!(matches!(
        error_of(&nobody, &clip(1)).await,
        SpeechError::Unsuitable
    ));
    assert!(nobody.probe().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_engine_without_the_language_is_asked_only_if_nobody_has_it() {
    let english = Arc::new(Scripted::named("english").knowing(&["en"]));
    let german = Arc::new(Scripted::named("german").knowing(&["de"]).clips([down()]));
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
    let first = Arc::new(Scripted::named("first").clips([down()]));
    let second = Arc::new(Scripted::named("second"));
    let failover = failover(&[&first, &second]);
    assert_eq!(who_hears(&failover, &()).await, "second");

    drop(failover);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(first.probes_seen(), 0);
    assert_eq!(Arc::strong_count(&first), 1, "no task holds it any more");
}

#[tokio::test(start_paused = true)]
async fn many_clips_at_once_start_one_probing() {
    let first = Arc::new(Scripted::named("first").clips((0..8).map(|_| down())));
    let second = Arc::new(Scripted::named("second"));
    let failover = failover(&[&first, &second]);

    let all = (0..8).map(|_| who_hears(&failover, &()));
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
    let only = Arc::new(Scripted::named("only").clips([down(), down(), down()]));
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
    let first = Arc::new(Scripted::named("first").probes([refused(), refused()]));
    let second = Arc::new(Scripted::named("second").probes([Ok(()), down()]));
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
    server.hears("Hello.");
    let settings = settings(&sandbox);
    let local = Arc::new(Scripted::named("local"));
    let failover = Failover::new(
        vec![
            Arc::new(sync(&settings)),
            Arc::new(prerecorded(&settings)),
            local.clone(),
        ],
        FailoverSettings::default(),
    );
    let hints = Hints::default();

    let journal = Journal::default();
    let heard = failover.transcribe(&utterance(), &hints, &journal).await;
    assert_eq!(heard.expect("heard").provider, "AssemblyAI Sync");

    server.fault(Endpoint::Sync, Broken::status(500).always());
    let journal = Journal::default();
    let heard = failover.transcribe(&utterance(), &hints, &journal).await;
    assert_eq!(heard.expect("heard").provider, "AssemblyAI upload");
    let fall = "AssemblyAI Sync -> AssemblyAI upload: the provider can't be reached or is broken";
    assert!(
        journal.lines().contains(&fall.to_owned()),
        "{:?}",
        journal.lines()
    );

    server.fault(Endpoint::Upload, Broken::status(503).always());
    let journal = Journal::default();
    let heard = failover.transcribe(&utterance(), &hints, &journal).await;
    assert_eq!(heard.expect("heard").provider, "local");
    let fall = "AssemblyAI upload -> local: the provider is overloaded";
    assert!(
        journal.lines().contains(&fall.to_owned()),
        "{:?}",
        journal.lines()
    );
    let health: Vec<Health> = failover
        .health()
        .into_iter()
        .map(|one| one.health)
        .collect();
    assert_eq!(
        health,
        [
            ill(Fault::Unavailable, 0),
            ill(Fault::Busy, 0),
            Health::Healthy
        ]
    );
}

#[tokio::test]
async fn a_provider_that_is_mended_is_found_by_its_probe() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.assemblyai();
    server.hears("Hello.");
    server.fault(Endpoint::Sync, Broken::status(500).always());
    let local = Arc::new(Scripted::named("local"));
    let failover = Failover::new(
        vec![Arc::new(sync(&settings(&sandbox))), local],
        FailoverSettings {
            first_probe: Duration::from_millis(1),
            longest_probe: Duration::from_millis(5),
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
    while failover.health()[0].health != Health::Healthy {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let heard = failover.transcribe(&utterance(), &hints, &()).await;
    assert_eq!(heard.expect("heard").provider, "AssemblyAI Sync");
}
