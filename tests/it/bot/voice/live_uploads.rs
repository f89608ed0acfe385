//! What people say is uploaded while they say it, so that only the last piece of it is waited for.

use std::time::Duration;

use sandbox::{AssemblyAi, AssemblyAiEndpoint, Fault, SyncLiveUpload, SyncLiveUploadEnd};
use serde_json::json;

use super::super::cost_limits::{PRICES, as_millis, booked_usage};
use super::super::harness::{RunningBot, sample_bytes};
use super::VoiceFixture;

async fn scene_with_prices(more: &[(&str, &str)]) -> (VoiceFixture, RunningBot) {
    let mut lounge = VoiceFixture::new().await;
    for (variable, value) in PRICES.iter().chain(more) {
        lounge.set(variable, value);
    }
    let bot = lounge.start().await;
    lounge.start_session().await;
    (lounge, bot)
}

/// How often Sync was asked for words, and where.
fn request_paths(stt: &AssemblyAi) -> Vec<String> {
    // Whoever only looks whether the key is right sends no recording.
    let requests = stt.requests().into_iter();
    let requests = requests.filter(|it| it.body_bytes > 600 || it.path.ends_with("/live"));
    requests.map(|it| it.path).collect()
}

async fn wait_for_uploads(
    stt: &AssemblyAi,
    enough: impl Fn(&[SyncLiveUpload]) -> bool,
) -> Vec<SyncLiveUpload> {
    let uploads = stt.wait_for_live_uploads(&enough).await;
    assert!(enough(&uploads), "waited in vain: {uploads:?}");
    uploads
}

/// A second of speech is with the service, and it goes on.
fn has_one_second(all: &[SyncLiveUpload]) -> bool {
    all.iter()
        .any(|it| it.end.is_none() && it.audio_bytes >= 32_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_sent_while_they_are_spoken_and_only_once() {
    let (lounge, bot) = scene_with_prices(&[]).await;
    let stt = lounge.sandbox.assemblyai();
    stt.set_transcript("We should ship on Thursday.");
    let speech = lounge.ana.start_speaking(sample_bytes("meeting_a.ogg"));
    wait_for_uploads(&stt, has_one_second).await;
    speech.wait_until_sent().await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "ship on Thursday")
        .await;
    assert_eq!(request_paths(&stt), ["/v1/transcribe/live"]);
    let upload = stt.live_uploads().remove(0);
    assert_eq!(upload.end, Some(SyncLiveUploadEnd::Complete));
    let terms = upload.config["keyterms_prompt"].to_string();
    assert!(terms.contains("Ana"), "{terms}");
    let billed = as_millis(stt.billed_audio());
    let used = booked_usage(bot, &lounge).await;
    assert!(used.audio_ms.abs_diff(billed) <= 2, "{used:?} {billed}");
}

/// An older service, or one that is busy, or one that breaks off.
#[tokio::test(flavor = "multi_thread")]
async fn where_it_cannot_be_uploaded_it_is_sent_whole() {
    let after = Duration::from_millis(500);
    for (fault, next) in [
        (Fault::status(404), "/v1/transcribe"),
        (Fault::status(405).before_body(), "/v1/transcribe"),
        (
            Fault::status(503).retry_after(60).after_upload_audio(after),
            "/v1/transcribe",
        ),
        (
            Fault::reset_connection().after_upload_audio(after),
            "/v1/transcribe/live",
        ),
        (Fault::malformed_json(), "/v1/transcribe/live"),
    ] {
        let (lounge, _bot) = VoiceFixture::new_with_session().await;
        let stt = lounge.sandbox.assemblyai();
        let what = format!("{fault:?}");
        stt.add_fault(AssemblyAiEndpoint::SyncLive, fault);
        let words = "We should ship on Thursday.";
        lounge
            .speak_and_wait(&lounge.ana, "meeting_a.ogg", words)
            .await;
        assert_eq!(
            request_paths(&stt),
            ["/v1/transcribe/live", "/v1/transcribe"],
            "{what}"
        );
        let words = "I will write the notes tomorrow.";
        lounge
            .speak_and_wait(&lounge.ana, "meeting_c.ogg", words)
            .await;
        assert_eq!(request_paths(&stt)[2..], [next], "{what}");
        assert!(!lounge.transcript_text().contains("not heard"), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_in_the_middle_when_its_speaker_says_no() {
    let (lounge, bot) = scene_with_prices(&[]).await;
    let stt = lounge.sandbox.assemblyai();
    let speech = lounge.ana.start_speaking(sample_bytes("numbers.ogg"));
    wait_for_uploads(&stt, has_one_second).await;
    lounge.withdraw_consent(&lounge.ana).await;
    let ended = wait_for_uploads(&stt, |all| all.iter().all(|it| it.end.is_some())).await;
    let last = ended.last().expect("an upload");
    assert_eq!(last.end, Some(SyncLiveUploadEnd::ClientDisconnected));
    speech.wait_until_sent().await;
    // What was sent is paid for, and nothing more was.
    assert_eq!(stt.live_uploads().len(), ended.len());
    assert_eq!(request_paths(&stt).len(), ended.len());
    let billed = as_millis(stt.billed_audio());
    let used = booked_usage(bot, &lounge).await;
    assert!(used.audio_ms >= billed, "{used:?} {billed}");
    assert!(used.audio_ms <= billed + 400, "{used:?} {billed}");
}

/// What is uploaded goes along with the names of those who are there. Whoever takes their name back
/// is not named any longer, and nobody's words are lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_is_made_anew_without_whoever_says_no() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    let stt = lounge.sandbox.assemblyai();
    stt.set_transcript("We should ship on Thursday.");
    let speech = lounge.ana.start_speaking(sample_bytes("meeting_a.ogg"));
    let coming = wait_for_uploads(&stt, has_one_second).await;
    assert!(coming[0].config.to_string().contains("Ben"));
    lounge.withdraw_consent(&lounge.ben).await;
    let ended = wait_for_uploads(&stt, |all| all[0].end.is_some()).await;
    assert_eq!(ended[0].end, Some(SyncLiveUploadEnd::ClientDisconnected));
    speech.wait_until_sent().await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "**Ana:** We should ship")
        .await;
    let requests = stt.requests();
    let whole = requests
        .iter()
        .find(|it| it.path == "/v1/transcribe" && it.body_bytes > 600);
    let config = whole
        .expect("sent whole")
        .form_part("config")
        .expect("a config");
    let config = String::from_utf8_lossy(&config.body).into_owned();
    assert!(
        config.contains("Ana") && !config.contains("Ben"),
        "{config}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_at_the_cap_while_somebody_speaks() {
    // Room for one slice of five seconds and not for two.
    let (lounge, bot) = scene_with_prices(&[("DAILY_COST_PER_MEMBER", "0.0007")]).await;
    let stt = lounge.sandbox.assemblyai();
    stt.set_transcript("One two three and so on.");
    let whole = sample_bytes("numbers.ogg");
    for _ in 0..2 {
        lounge.ana.speak(&whole).await;
    }
    lounge.wait_for_cap_message(&lounge.ana).await;
    lounge.run_and_wait("/leave", json!({}), "I've left").await;
    let billed = as_millis(stt.billed_audio());
    assert!(billed <= 7_200, "{billed}");
    let used = booked_usage(bot, &lounge).await;
    assert!(
        used.audio_ms >= billed && used.audio_ms <= 7_200,
        "{used:?}"
    );
}
