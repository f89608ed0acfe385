//! Clips that are sent to AssemblyAI Sync while they are recorded.

use std::time::Duration;

use sandbox::{AssemblyAi, Endpoint, Fault, Gate, LiveUpload as Uploaded, Sandbox, UploadEnd};
use serde_json::json;
use talkback::speech::assemblyai::SyncTranscriber;
use talkback::speech::{Hints, LiveUpload, Transcriber};

use crate::assemblyai::{SHORT, kind, settings, tone};

/// A tenth of a second.
const PIECE: usize = 1_600;

fn transcriber(sandbox: &Sandbox) -> SyncTranscriber {
    let http = net::client().expect("a client");
    SyncTranscriber::new(http, &settings(sandbox))
}

/// An upload that may cost whatever it costs.
fn begin(sandbox: &Sandbox) -> LiveUpload {
    let upload = transcriber(sandbox).upload(&Hints::default());
    let upload = upload.expect("Sync takes uploads");
    upload.meter().allow(Duration::from_secs(600));
    upload
}

fn push(upload: &LiveUpload, milliseconds: usize) {
    for piece in tone(16 * milliseconds).samples().chunks(PIECE) {
        assert!(upload.push(piece));
    }
}

async fn uploads(stt: &AssemblyAi, enough: impl Fn(&[Uploaded]) -> bool) -> Vec<Uploaded> {
    let uploads = stt.wait_for_live_uploads(&enough).await;
    assert!(enough(&uploads), "waited in vain: {uploads:?}");
    uploads
}

#[tokio::test]
async fn all_but_the_last_piece_is_there_before_the_clip_ends() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears("What is the capital of France?");
    let hints = Hints {
        key_terms: vec!["Talkback".to_owned()],
        languages: vec!["en-US".to_owned(), "pl".to_owned()],
        context: vec!["Hello.".to_owned()],
        word_times: true,
        ..Hints::default()
    };
    let upload = transcriber(&sandbox).upload(&hints).expect("an upload");
    upload.meter().allow(Duration::from_secs(10));
    push(&upload, 2_000);
    let coming = uploads(&stt, |all| {
        all.first().is_some_and(|it| it.audio_bytes == 64_000)
    })
    .await;
    assert_eq!(coming[0].end, None);
    assert_eq!(
        coming[0].config,
        json!({
            "keyterms_prompt": ["Talkback"],
            "conversation_context": ["Hello."],
            "language_codes": ["en"],
            "timestamps": true,
            "sample_rate": 16_000,
            "channels": 1,
        })
    );
    push(&upload, 50);
    let meter = upload.meter();
    let heard = upload.finish(&()).await.expect("words");
    assert_eq!(heard.text, "What is the capital of France?");
    assert_eq!(heard.provider, "AssemblyAI Sync");
    assert_eq!(heard.words.len(), 6);
    assert_eq!(meter.sent(), Duration::from_millis(2_050));
    assert_eq!(stt.billed(), Duration::from_millis(2_050));

    let requests = stt.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, "/v1/transcribe/live");
    assert_eq!(requests[0].header("authorization"), Some(&*stt.key()));
    assert_eq!(requests[0].header("transfer-encoding"), Some("chunked"));
    assert!(requests[0].header("x-aai-model").is_some());
    let audio = requests[0].part("audio").expect("audio");
    assert_eq!(audio.content_type.as_deref(), Some("audio/pcm"));
}

#[tokio::test]
async fn an_upload_that_is_dropped_never_ends() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let upload = begin(&sandbox);
    let meter = upload.meter();
    push(&upload, 1_000);
    uploads(&stt, |all| {
        all.first().is_some_and(|it| it.audio_bytes == 32_000)
    })
    .await;
    push(&upload, 50);
    drop(upload);
    meter.over().await;
    let ended = uploads(&stt, |all| all[0].end.is_some()).await;
    assert_eq!(ended[0].end, Some(UploadEnd::ClientLeft));
    assert_eq!(ended[0].audio_bytes, 32_000, "the rest is not sent");
    assert_eq!(meter.sent(), Duration::from_secs(1), "and this was");
    assert_eq!(stt.billed(), Duration::from_secs(1));
}

/// While somebody still speaks the service may say no. It is not asked with each utterance then.
#[tokio::test]
async fn a_refusal_in_the_middle_ends_it_at_once() {
    for (status, meaning, again) in [
        (401, "key refused", true),
        (429, "busy", false),
        (503, "busy", false),
        (404, "unavailable", false),
        (405, "unavailable", false),
        (500, "unavailable", true),
    ] {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        let after = Duration::from_millis(300);
        let refused = Fault::status(status).retry_after(60).after_upload(after);
        stt.fault(Endpoint::SyncLive, refused);
        let transcriber = transcriber(&sandbox);
        let upload = transcriber.upload(&Hints::default()).expect("an upload");
        let meter = upload.meter();
        meter.allow(Duration::from_secs(600));
        push(&upload, 400);
        meter.over().await;
        assert!(!upload.push(&[0.0; 160]), "{status}: nobody hears the rest");
        assert_eq!(meter.sent(), Duration::ZERO, "{status}: it costs nothing");
        let error = upload.finish(&()).await.expect_err("refused");
        assert_eq!(kind(&error, &stt.key()), meaning, "{status}");
        let next = transcriber.upload(&Hints::default());
        assert_eq!(next.is_some(), again, "{status}");
    }
}

#[tokio::test]
async fn an_upload_that_breaks_counts_as_far_as_it_went() {
    let breaks = [
        Fault::reset().after_upload(Duration::from_millis(300)),
        Fault::close().after_upload(Duration::from_millis(300)),
    ];
    for fault in breaks {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        stt.fault(Endpoint::SyncLive, fault);
        let upload = begin(&sandbox);
        let meter = upload.meter();
        push(&upload, 400);
        meter.over().await;
        let error = upload.finish(&()).await.expect_err("broken");
        assert_eq!(kind(&error, &stt.key()), "unavailable");
        assert!(meter.sent() >= Duration::from_millis(300));
    }
}

#[tokio::test]
async fn an_upload_that_goes_silent_is_ended_by_the_service() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.uploads_may_be_silent_for(SHORT);
    let upload = begin(&sandbox);
    let meter = upload.meter();
    push(&upload, 400);
    meter.over().await;
    assert_eq!(meter.sent(), stt.billed(), "it has listened until then");
    upload.finish(&()).await.expect_err("ended");
}

#[tokio::test]
async fn what_the_service_does_not_answer_has_a_time_limit() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let gate = Gate::new();
    stt.fault(Endpoint::SyncLive, Fault::gate(&gate));
    let http = net::client().expect("a client");
    let mut settings = settings(&sandbox);
    settings.sync_request = SHORT;
    let transcriber = SyncTranscriber::new(http, &settings);
    let upload = transcriber.upload(&Hints::default()).expect("an upload");
    upload.meter().allow(Duration::from_secs(1));
    push(&upload, 400);
    let error = upload.finish(&()).await.expect_err("no answer");
    assert_eq!(kind(&error, &stt.key()), "timed out");
}

#[tokio::test]
async fn a_clip_longer_than_the_service_takes_is_not_uploaded_to_its_end() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let upload = begin(&sandbox);
    let second = tone(16_000);
    let mut taken = 0;
    while upload.push(second.samples()) {
        taken += 1;
        let sent = taken * 32_000;
        uploads(&stt, |all| {
            all.first().is_some_and(|it| it.audio_bytes >= sent)
        })
        .await;
    }
    assert_eq!(taken, 120);
    let ended = uploads(&stt, |all| all[0].end.is_some()).await;
    assert_eq!(ended[0].end, Some(UploadEnd::ClientLeft));
}
