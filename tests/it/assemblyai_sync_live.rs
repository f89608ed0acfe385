//! Clips that are sent to AssemblyAI Sync while they are recorded.

use std::time::Duration;

use sandbox::{
    AssemblyAi, AssemblyAiEndpoint, Fault, Gate, Sandbox, SyncLiveUpload as Uploaded,
    SyncLiveUploadEnd,
};
use serde_json::json;
use talkback::speech::assemblyai::SyncTranscriber;
use talkback::speech::{Hints, LiveUpload, Transcriber};

use crate::assemblyai::{SHORT_TIMEOUT, error_kind, settings, tone};

/// A tenth of a second.
const CHUNK_SAMPLES: usize = 1_600;

fn transcriber(sandbox: &Sandbox) -> SyncTranscriber {
    let http = net::http_client().expect("a client");
    SyncTranscriber::new(http, &settings(sandbox))
}

/// An upload that may cost whatever it costs.
fn begin_upload(sandbox: &Sandbox) -> LiveUpload {
    let upload = transcriber(sandbox).start_upload(&Hints::default());
    let upload = upload.expect("Sync takes uploads");
    upload.meter().allow_up_to(Duration::from_secs(600));
    upload
}

fn push(upload: &LiveUpload, milliseconds: usize) {
    for piece in tone(16 * milliseconds).samples().chunks(CHUNK_SAMPLES) {
        assert!(upload.push(piece));
    }
}

async fn wait_for_uploads(stt: &AssemblyAi, enough: impl Fn(&[Uploaded]) -> bool) -> Vec<Uploaded> {
    let uploads = stt.wait_for_live_uploads(&enough).await;
    assert!(enough(&uploads), "waited in vain: {uploads:?}");
    uploads
}

#[tokio::test]
async fn all_but_the_last_piece_is_there_before_the_clip_ends() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("What is the capital of France?");
    let hints = Hints {
        key_terms: vec!["Talkback".to_owned()],
        languages: vec!["en-US".to_owned(), "pl".to_owned()],
        context: vec!["Hello.".to_owned()],
        word_timestamps: true,
        ..Hints::default()
    };
    let upload = transcriber(&sandbox)
        .start_upload(&hints)
        .expect("an upload");
    upload.meter().allow_up_to(Duration::from_secs(10));
    push(&upload, 2_000);
    let coming = wait_for_uploads(&stt, |all| {
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
    assert_eq!(meter.sent_audio(), Duration::from_millis(2_050));
    assert_eq!(stt.billed_audio(), Duration::from_millis(2_050));

    let requests = stt.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path, "/v1/transcribe/live");
    assert_eq!(requests[0].header("authorization"), Some(&*stt.key()));
    assert_eq!(requests[0].header("transfer-encoding"), Some("chunked"));
    assert!(requests[0].header("x-aai-model").is_some());
    let audio = requests[0].form_part("audio").expect("audio");
    assert_eq!(audio.content_type.as_deref(), Some("audio/pcm"));
}

#[tokio::test]
async fn an_upload_that_is_dropped_never_ends() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let upload = begin_upload(&sandbox);
    let meter = upload.meter();
    push(&upload, 1_000);
    wait_for_uploads(&stt, |all| {
        all.first().is_some_and(|it| it.audio_bytes == 32_000)
    })
    .await;
    push(&upload, 50);
    drop(upload);
    meter.wait_finished().await;
    let ended = wait_for_uploads(&stt, |all| all[0].end.is_some()).await;
    assert_eq!(ended[0].end, Some(SyncLiveUploadEnd::ClientDisconnected));
    assert_eq!(ended[0].audio_bytes, 32_000, "the rest is not sent");
    assert_eq!(meter.sent_audio(), Duration::from_secs(1), "and this was");
    assert_eq!(stt.billed_audio(), Duration::from_secs(1));
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
        let refused = Fault::status(status)
            .retry_after(60)
            .after_upload_audio(after);
        stt.add_fault(AssemblyAiEndpoint::SyncLive, refused);
        let transcriber = transcriber(&sandbox);
        let upload = transcriber
            .start_upload(&Hints::default())
            .expect("an upload");
        let meter = upload.meter();
        meter.allow_up_to(Duration::from_secs(600));
        push(&upload, 400);
        meter.wait_finished().await;
        assert!(!upload.push(&[0.0; 160]), "{status}: nobody hears the rest");
        assert_eq!(
            meter.sent_audio(),
            Duration::ZERO,
            "{status}: it costs nothing"
        );
        let error = upload.finish(&()).await.expect_err("refused");
        assert_eq!(error_kind(&error, &stt.key()), meaning, "{status}");
        let next = transcriber.start_upload(&Hints::default());
        assert_eq!(next.is_some(), again, "{status}");
    }
}

#[tokio::test]
async fn an_upload_that_breaks_counts_as_far_as_it_went() {
    let breaks = [
        Fault::reset_connection().after_upload_audio(Duration::from_millis(300)),
        Fault::close_connection().after_upload_audio(Duration::from_millis(300)),
    ];
    for fault in breaks {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        stt.add_fault(AssemblyAiEndpoint::SyncLive, fault);
        let upload = begin_upload(&sandbox);
        let meter = upload.meter();
        push(&upload, 400);
        meter.wait_finished().await;
        let error = upload.finish(&()).await.expect_err("broken");
        assert_eq!(error_kind(&error, &stt.key()), "unavailable");
        assert!(meter.sent_audio() >= Duration::from_millis(300));
    }
}

#[tokio::test]
async fn an_upload_that_goes_silent_is_ended_by_the_service() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_upload_idle_timeout(SHORT_TIMEOUT);
    let upload = begin_upload(&sandbox);
    let meter = upload.meter();
    push(&upload, 400);
    meter.wait_finished().await;
    assert_eq!(
        meter.sent_audio(),
        stt.billed_audio(),
        "it has listened until then"
    );
    upload.finish(&()).await.expect_err("ended");
}

#[tokio::test]
async fn what_the_service_does_not_answer_has_a_time_limit() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let gate = Gate::new();
    stt.add_fault(AssemblyAiEndpoint::SyncLive, Fault::gate(&gate));
    let http = net::http_client().expect("a client");
    let mut settings = settings(&sandbox);
    settings.sync_request_timeout = SHORT_TIMEOUT;
    let transcriber = SyncTranscriber::new(http, &settings);
    let upload = transcriber
        .start_upload(&Hints::default())
        .expect("an upload");
    upload.meter().allow_up_to(Duration::from_secs(1));
    push(&upload, 400);
    let error = upload.finish(&()).await.expect_err("no answer");
    assert_eq!(error_kind(&error, &stt.key()), "timed out");
}

#[tokio::test]
async fn a_clip_longer_than_the_service_takes_is_not_uploaded_to_its_end() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let upload = begin_upload(&sandbox);
    let second = tone(16_000);
    let mut taken = 0;
    while upload.push(second.samples()) {
        taken += 1;
        let sent = taken * 32_000;
        wait_for_uploads(&stt, |all| {
            all.first().is_some_and(|it| it.audio_bytes >= sent)
        })
        .await;
    }
    assert_eq!(taken, 120);
    let ended = wait_for_uploads(&stt, |all| all[0].end.is_some()).await;
    assert_eq!(ended[0].end, Some(SyncLiveUploadEnd::ClientDisconnected));
}
