//! Sync while a clip is still being recorded.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use reqwest::{Body, RequestBuilder};
use sandbox::{AssemblyAi, AssemblyAiEndpoint, Fault, SyncLiveUploadEnd};
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::{client, pcm, read_json, start};

const PCM_CONFIG: &str = r#"{"sample_rate": 16000, "channels": 1}"#;

/// What the official clients send before the first sample.
fn form_head(config: &str) -> String {
    format!(
        "--b\r\nContent-Disposition: form-data; name=\"config\"\r\n\
         Content-Type: application/json\r\n\r\n{config}\r\n\
         --b\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"audio.pcm\"\r\n\
         Content-Type: audio/pcm\r\n\r\n"
    )
}

const FORM_END: &str = "\r\n--b--\r\n";

fn request(stt: &AssemblyAi, body: impl Into<Body>) -> RequestBuilder {
    client()
        .post(format!("{}/v1/transcribe/live", stt.sync_url()))
        .header("Authorization", stt.key())
        .header("X-AAI-Model", "universal-3-5-pro")
        .header("Content-Type", "multipart/form-data; boundary=b")
        .body(body)
}

/// A body whose pieces come when they are sent.
fn chunked_body() -> (mpsc::UnboundedSender<Bytes>, Body) {
    let (sender, coming) = mpsc::unbounded_channel();
    let body = stream::unfold(coming, |mut coming| async move {
        let piece: Bytes = coming.recv().await?;
        Some((Ok::<_, std::io::Error>(piece), coming))
    });
    (sender, Body::wrap_stream(body))
}

fn whole_form(config: &str, audio: &[u8]) -> Vec<u8> {
    [form_head(config).as_bytes(), audio, FORM_END.as_bytes()].concat()
}

#[tokio::test]
async fn a_clip_is_taken_piece_by_piece_and_heard_when_it_ends() {
    let (_sandbox, stt, _) = start().await;
    stt.set_transcript("Turn left.");
    let (sender, body) = chunked_body();
    let answer = tokio::spawn(request(&stt, body).send());
    sender.send(form_head(PCM_CONFIG).into()).expect("taken");
    for _ in 0..5 {
        sender.send(pcm(16_000, 100).into()).expect("taken");
    }
    let coming = stt
        .wait_for_live_uploads(|all| all.iter().any(|it| it.audio_bytes == 16_000))
        .await;
    assert_eq!(coming[0].config["channels"], 1);
    assert_eq!(coming[0].end, None);
    sender.send(FORM_END.into()).expect("taken");
    drop(sender);
    let (status, body) = read_json(answer.await.expect("no panic").expect("an answer")).await;
    assert_eq!(
        (status, &body["text"], &body["audio_duration_ms"]),
        (200, &json!("Turn left."), &json!(500))
    );
    assert_eq!(stt.live_uploads()[0].end, Some(SyncLiveUploadEnd::Complete));
    assert_eq!(stt.billed_audio(), Duration::from_millis(500));
}

#[tokio::test]
async fn only_the_last_piece_takes_time() {
    let (_sandbox, stt, _) = start().await;
    stt.set_processing_time(Duration::from_secs(3_600));
    stt.set_last_chunk_processing_time(Duration::ZERO);
    let audio = pcm(16_000, 500);
    let answer = request(&stt, whole_form(PCM_CONFIG, &audio)).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
}

#[tokio::test]
async fn what_is_not_as_published_is_refused() {
    let (_sandbox, stt, _) = start().await;
    let half = pcm(16_000, 500);
    let audio_first = format!(
        "--b\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"a\"\r\n\
         Content-Type: audio/wav\r\n\r\nRIFF\r\n\
         --b\r\nContent-Disposition: form-data; name=\"config\"\r\n\r\n{{}}{FORM_END}"
    );
    let table = [
        (whole_form("{}", &half), 400, "Bad Audio"),
        (whole_form("[]", &half), 400, "Bad Request"),
        (whole_form(r#"{"x": 1}"#, &half), 400, "Bad Request"),
        (
            whole_form(PCM_CONFIG, &pcm(16_000, 79)),
            400,
            "Audio Too Short",
        ),
        (
            whole_form(PCM_CONFIG, &pcm(16_000, 120_100)),
            413,
            "Audio Too Large",
        ),
        (audio_first.into_bytes(), 400, "Bad Request"),
    ];
    for (number, (body, status, title)) in table.into_iter().enumerate() {
        let answer = request(&stt, body).send().await.expect("an answer");
        let (got, body) = read_json(answer).await;
        assert_eq!((got, &body["title"]), (status, &json!(title)), "{number}");
    }
    assert_eq!(stt.billed_audio(), Duration::ZERO);
}

#[tokio::test]
async fn an_upload_may_be_answered_while_it_still_comes() {
    let (_sandbox, stt, _) = start().await;
    let after = Duration::from_millis(300);
    for status in [401, 429, 503] {
        stt.add_fault(
            AssemblyAiEndpoint::SyncLive,
            Fault::status(status)
                .retry_after(1)
                .after_upload_audio(after),
        );
        let (sender, body) = chunked_body();
        let answer = tokio::spawn(request(&stt, body).send());
        sender.send(form_head(PCM_CONFIG).into()).expect("taken");
        sender.send(pcm(16_000, 300).into()).expect("taken");
        // It does not end.
        let answer = answer.await.expect("no panic").expect("an answer");
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["retry-after"], "1");
        drop(sender);
    }
    // A wrong key needs no audio at all.
    let (sender, body) = chunked_body();
    sender.send("-".into()).expect("taken");
    let mut wrong = request(&stt, body).build().expect("a request");
    let key = "wrong".parse().expect("a header");
    wrong.headers_mut().insert("Authorization", key);
    let answer = client().execute(wrong).await.expect("an answer");
    assert_eq!(answer.status(), 401);
    assert_eq!(stt.billed_audio(), Duration::ZERO);
}

#[tokio::test]
async fn an_upload_that_goes_silent_is_ended_and_billed_as_far_as_it_came() {
    let (_sandbox, stt, _) = start().await;
    stt.set_upload_idle_timeout(Duration::from_millis(50));
    let (sender, body) = chunked_body();
    let answer = tokio::spawn(request(&stt, body).send());
    sender.send(form_head(PCM_CONFIG).into()).expect("taken");
    sender.send(pcm(16_000, 200).into()).expect("taken");
    let answer = answer.await.expect("no panic").expect("an answer");
    assert_eq!(answer.status(), 408);
    let all = stt
        .wait_for_live_uploads(|all| all.iter().any(|it| it.end.is_some()))
        .await;
    assert_eq!(all[0].end, Some(SyncLiveUploadEnd::TimedOut));
    assert_eq!(stt.billed_audio(), Duration::from_millis(200));
}
