//! Nobody is written down against their will.

use serde_json::json;

use super::super::harness::sample_bytes;
use super::{VoiceFixture, with_songbird_too};

/// Where the model is.
fn model_host(lounge: &VoiceFixture) -> String {
    let url = lounge.sandbox.openai().url();
    let host = url.trim_start_matches("http://").split('/').next();
    host.unwrap_or_default().to_owned()
}

with_songbird_too!(nobody_is_written_down_before_saying_yes,);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_written_down_before_saying_yes() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge.ben.join_voice(&lounge.lounge).await;
    lounge.start_session().await;
    insta::assert_snapshot!(
        lounge
            .wait_for_notice()
            .await
            .text()
            .replace(&lounge.lounge.id().to_string(), "LOUNGE")
            .replace(&model_host(&lounge), "HOST"),
        @r"
    **Ana asked me to listen in <#LOUNGE>.** I'll write down here who says what, and answer what you ask me by name, or anything if you're alone.
    I only transcribe people who press **Transcribe me**; what anyone else says is dropped unheard. You can change your mind at any time; I'll remember it for this server.
    -# Voices go to AssemblyAI, and I keep no audio. Questions and the summary go to sandbox-1 at HOST. I keep the words for 30 days, encrypted. `/leave` ends this, `/privacy` explains more.
    "
    );
    lounge
        .sandbox
        .assemblyai()
        .set_transcript("This must not be heard.");
    lounge.ben.speak(sample_bytes("meeting_b.ogg")).await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let shown = lounge.transcript_text();
    assert!(
        !shown.contains("must not be heard") && !shown.contains("Ben"),
        "{shown}"
    );
    let report = lounge.run_and_wait("/session", json!({}), "Ana").await;
    assert!(!report.text().contains("Ben"), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_holds_at_once_and_in_the_next_session() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(
            &lounge.ben,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    let pressed = lounge
        .ben
        .press_button(&lounge.wait_for_notice().await, "Don't")
        .await;
    pressed.wait_for_answer_containing("dropped unheard").await;
    lounge
        .sandbox
        .assemblyai()
        .set_transcript("This must not be heard.");
    lounge.ben.speak(sample_bytes("meeting_c.ogg")).await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    assert!(!lounge.transcript_text().contains("must not be heard"));
    lounge.stop_session().await;

    lounge.ana.grant_manage_guild();
    let everybody = json!({"consent": "notice"});
    lounge
        .run_and_wait(
            "/settings voice",
            everybody,
            "everyone except people who have declined",
        )
        .await;
    lounge.run_and_wait("/join", json!({}), "I'm in").await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    lounge
        .sandbox
        .assemblyai()
        .set_transcript("This must not be heard.");
    lounge.ben.speak(sample_bytes("meeting_c.ogg")).await;
    lounge
        .speak_and_wait(&lounge.ana, "rust.ogg", "Three tips for Rust.")
        .await;
    assert!(!lounge.transcript_text().contains("must not be heard"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_carries_a_mark_while_it_listens() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    let nick = lounge.guild.bot_nick();
    assert!(
        nick.as_deref().is_some_and(|it| it.starts_with("🔴 ")),
        "{nick:?}"
    );
    lounge.stop_session().await;
    assert_eq!(lounge.guild.bot_nick(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn forget_me_takes_ones_lines_along() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(
            &lounge.ben,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let response = lounge
        .ben
        .run_command(&lounge.channel, "/forget-me", json!({}))
        .await;
    response
        .wait_for_answer_containing("1 pieces of conversation")
        .await;
    let last = lounge.stop_session().await;
    let txt = super::attachment_text(&last, "transcript.txt");
    assert!(
        txt.contains("Thursday") && !txt.contains("release notes"),
        "{txt}"
    );
}
