//! The bot is in the call and hears nothing.

use std::time::Duration;

use serde_json::json;

use super::super::harness::sample_bytes;
use super::{VoiceFixture, attachment_text, with_songbird_too};

with_songbird_too!(deafened_it_says_so_and_counts_the_time,);

/// So many seconds nobody could be heard, as the transcript tells.
fn unheard_seconds(txt: &str) -> f64 {
    let told = txt.split("nobody could be heard for ").nth(1);
    let span = told.and_then(|rest| rest.split(" s").next());
    span.and_then(|span| span.parse().ok()).unwrap_or(0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn deafened_it_says_so_and_counts_the_time() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge.guild.set_bot_deaf(true);
    let told = lounge
        .ana
        .wait_for_message(&lounge.channel, "I'm deafened in this call")
        .await;
    assert!(told.text().contains("A moderator can"), "{}", told.text());
    // Long enough for the connection to be doubted, were nobody known to be heard.
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    lounge.ana.speak(sample_bytes("meeting_c.ogg")).await;
    assert!(!lounge.transcript_text().contains("hear you again"));
    let report = lounge
        .run_and_wait("/session", json!({}), "nobody could be heard.")
        .await;
    let told = report.text();
    let span = told
        .split("For ")
        .nth(1)
        .and_then(|it| it.split(' ').next());
    let span: f64 = span.and_then(|it| it.parse().ok()).unwrap_or(0.0);
    assert!(span > 2.0, "{told}");
    lounge.guild.set_bot_deaf(false);
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I can hear you again")
        .await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    let txt = attachment_text(&lounge.stop_session().await, "transcript.txt");
    assert!(unheard_seconds(&txt) > 2.0, "{txt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn suppressed_it_says_so_and_counts_the_time_up_to_the_end() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    lounge.guild.set_bot_suppressed(true);
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I'm suppressed in this call")
        .await;
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    let txt = attachment_text(&lounge.stop_session().await, "transcript.txt");
    assert!(unheard_seconds(&txt) > 2.0, "{txt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deafened_from_the_beginning_it_says_so() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge.guild.set_bot_deaf(true);
    lounge.run_and_wait("/leave", json!({}), "I've left").await;
    lounge.wait_for_session_end("").await;
    // A moderator's deafening goes with the member, as Discord tells with the next seat.
    lounge.run_and_wait("/join", json!({}), "I'm in <#").await;
    lounge.guild.set_bot_deaf(true);
    let twice = async {
        while lounge
            .transcript_text()
            .matches("I'm deafened in this call")
            .count()
            < 2
        {
            lounge
                .ana
                .wait_for_message(&lounge.channel, "I'm deafened")
                .await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), twice)
        .await
        .expect("said again");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_was_deafened_it_counts_that_too() {
    let (mut lounge, bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    lounge.guild.set_bot_deaf(true);
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I'm deafened")
        .await;
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    bot.kill().await;
    lounge.ana.leave_voice().await;
    let _bot = lounge.start().await;
    let end = lounge
        .ana
        .wait_for_message(&lounge.channel, "I was interrupted")
        .await;
    let txt = attachment_text(&end, "transcript.txt");
    assert!(unheard_seconds(&txt) > 2.0, "{txt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voice_server_that_lets_in_and_closes_at_once_is_not_hurried() {
    for code in [4_015, 4_006, 1_001] {
        let (lounge, _bot) = VoiceFixture::new_with_session().await;
        let before = lounge.discord.voice_identify_and_resume_counts();
        lounge.discord.set_close_voice_on_join(Some(code));
        lounge.discord.close_bot_voice(code);
        lounge
            .discord
            .wait_for_voice_identify_and_resume(|identifies, resumes| {
                identifies + resumes >= before.0 + before.1 + 3
            })
            .await;
        // What comes in this time is what is counted.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let (identifies, resumes) = lounge.discord.voice_identify_and_resume_counts();
        let logins = identifies + resumes - before.0 - before.1;
        assert!(logins < 20, "{logins} logins after {code}");
        lounge.discord.set_close_voice_on_join(None);
        lounge
            .discord
            .wait_until_bot_receiving(&lounge.lounge)
            .await;
        lounge
            .speak_and_wait(
                &lounge.ana,
                "meeting_b.ogg",
                "Somebody has to write the release notes.",
            )
            .await;
    }
}
