use tokio_util::sync::CancellationToken;

use super::*;

static SECOND: [f32; 16_000] = [0.5; 16_000];

fn transcript_of(text: &str) -> Transcript {
    Transcript {
        text: text.to_owned(),
        segments: Vec::new(),
        words: Vec::new(),
        language: None,
        confidence: None,
        provider: "test",
    }
}

/// An upload whose transcript is the number of bytes received.
fn upload_counting_bytes(max_seconds: u64) -> LiveUpload {
    let limits = LiveUploadLimits {
        max_duration: Duration::from_secs(max_seconds),
        answer_timeout: Duration::from_secs(5),
    };
    LiveUpload::start("test", limits, |body| async move {
        let mut bytes = 0;
        while let Some(chunk) = body
            .next_chunk(Duration::from_millis(100))
            .await
            .map_err(|_| SpeechError::UnsupportedClip)?
        {
            bytes += chunk.len();
        }
        Ok(transcript_of(&bytes.to_string()))
    })
}

#[tokio::test]
async fn everything_pushed_is_sent_before_the_transcript() {
    let upload = upload_counting_bytes(10);
    let meter = upload.meter();
    meter.allow_up_to(Duration::from_secs(9));
    for _ in 0..3 {
        assert!(upload.push(&SECOND));
    }
    assert!(
        upload.push(&SECOND[..10]),
        "shorter than a chunk, but the end"
    );
    let transcript = upload.finish(&()).await.expect("a transcript");
    assert_eq!(transcript.text, (2 * (3 * 16_000 + 10)).to_string());
    meter.wait_finished().await;
    assert_eq!(meter.sent_audio(), samples_to_duration(3 * 16_000 + 10));
}

#[tokio::test]
async fn nothing_is_sent_beyond_the_allowance() {
    let upload = upload_counting_bytes(10);
    let meter = upload.meter();
    assert!(upload.push(&SECOND) && upload.push(&SECOND));
    meter.wait_budget_low(Duration::ZERO).await;
    assert_eq!(meter.sent_audio(), Duration::ZERO);
    meter.allow_up_to(Duration::from_secs(1));
    while meter.sent_audio() < Duration::from_secs(1) {
        tokio::task::yield_now().await;
    }
    meter.wait_budget_low(Duration::ZERO).await;
    assert_eq!(meter.sent_audio(), Duration::from_secs(1));
    drop(upload);
    meter.wait_finished().await;
    assert_eq!(
        meter.sent_audio(),
        Duration::from_secs(1),
        "sent audio still counts"
    );
}

#[tokio::test]
async fn queued_audio_is_not_sent_once_the_condition_fails() {
    let upload = upload_counting_bytes(10);
    let permission = CancellationToken::new();
    let revoked = permission.clone();
    upload.send_only_while(move || !revoked.is_cancelled());
    let meter = upload.meter();
    assert!(upload.push(&SECOND));
    // No call to stop(): the upload checks the condition itself.
    permission.cancel();
    meter.allow_up_to(Duration::from_secs(9));
    meter.wait_finished().await;
    assert_eq!(meter.sent_audio(), Duration::ZERO);
    assert!(upload.finish(&()).await.is_err());
}

#[tokio::test]
async fn too_much_audio_ends_the_upload() {
    let too_long = upload_counting_bytes(2);
    assert!(too_long.push(&SECOND) && too_long.push(&SECOND));
    assert!(
        !too_long.push(&SECOND[..1]),
        "longer than the provider accepts"
    );
    assert!(!too_long.push(&[]), "the upload is over");
    too_long.meter().wait_finished().await;

    let queued = upload_counting_bytes(600);
    for _ in 0..30 {
        assert!(queued.push(&SECOND));
    }
    assert!(!queued.push(&SECOND[..1]), "the queue is full");
    assert!(queued.finish(&()).await.is_err());
}

#[tokio::test]
async fn a_refused_upload_is_not_billed() {
    let limits = LiveUploadLimits {
        max_duration: Duration::from_secs(10),
        answer_timeout: Duration::from_secs(5),
    };
    let upload = LiveUpload::start("test", limits, |body| async move {
        let _ = body.next_chunk(Duration::ZERO).await;
        body.mark_refunded();
        Err(SpeechError::UnsupportedClip)
    });
    let meter = upload.meter();
    meter.allow_up_to(Duration::from_secs(1));
    assert!(upload.push(&SECOND));
    meter.wait_finished().await;
    assert_eq!(meter.sent_audio(), Duration::ZERO);
    assert!(!upload.push(&SECOND));
    assert!(upload.finish(&()).await.is_err());
}
