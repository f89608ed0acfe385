//! Nobody is listened to who could not know it: the notice stands first.

use std::time::Duration;

use sandbox::{Channel, DiscordEndpoint, Fault, Gate, TestUser};
use serde_json::json;

use super::super::harness::sample_bytes;
use super::VoiceFixture;

const SEND_MESSAGES: u64 = 1 << 11;
const CONNECT: u64 = 1 << 20;
const SEND_IN_THREADS: u64 = 1 << 38;

impl VoiceFixture {
    /// Ana wants it to come, from another channel.
    async fn assert_join_refused(&self, place: &Channel, words: &str) {
        let there = json!({"channel": {"channel": self.lounge.id()}});
        let response = self.ana.run_command(place, "/join", there).await;
        response.wait_for_answer_containing(words).await;
        assert_eq!(self.guild.bot_voice_channel(), None);
    }

    /// Recordings that went to a provider.
    fn transcription_request_count(&self) -> usize {
        let requests = self.sandbox.assemblyai().requests();
        requests.iter().filter(|it| it.body_bytes > 1_000).count()
    }

    /// Somebody has said something too early. What they say now is all that goes to a provider.
    async fn assert_only_new_speech_heard(&self, person: &TestUser, before: usize) {
        self.speak_and_wait(person, "meeting_c.ogg", "I will write the notes tomorrow.")
            .await;
        assert_eq!(self.transcription_request_count(), before + 1);
    }

    /// Everybody is written down who has not said no.
    async fn set_consent_by_notice(&self) {
        self.ana.grant_manage_guild();
        let everybody = json!({"consent": "notice"});
        self.run_and_wait(
            "/settings voice",
            everybody,
            "everyone except people who have declined",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_only_where_it_can_write() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge.ana.join_voice(&lounge.lounge).await;
    let thread = lounge.channel.add_thread("talk");
    thread.deny_bot(SEND_IN_THREADS);
    lounge
        .assert_join_refused(&thread, "I'm not allowed to write in this thread")
        .await;
    let silent = lounge.guild.add_text_channel("silent");
    silent.deny_bot(SEND_IN_THREADS);
    let below = silent.add_thread("below");
    lounge
        .assert_join_refused(&below, "I'm not allowed to write in this thread")
        .await;
    let locked = lounge.channel.add_thread("locked");
    locked.lock();
    lounge
        .assert_join_refused(&locked, "This thread is locked")
        .await;
    // The text of a voice channel belongs to who may connect to it.
    let closed = lounge.guild.add_voice_channel("Closed");
    closed.deny_bot(CONNECT);
    lounge
        .assert_join_refused(&closed, "I'm not allowed to write in this channel")
        .await;
    let mute = lounge.guild.add_voice_channel("Mute");
    mute.deny_bot(SEND_MESSAGES);
    lounge
        .assert_join_refused(&mute, "I'm not allowed to write in this channel")
        .await;
    lounge.guild.set_bot_timed_out(true);
    lounge
        .assert_join_refused(&lounge.channel, "I'm timed out in this server")
        .await;
    lounge.guild.set_bot_timed_out(false);
    // A thread whose channel takes nothing else is a place to write in.
    let quiet = lounge.guild.add_text_channel("quiet");
    quiet.deny_bot(SEND_MESSAGES);
    let open = quiet.add_thread("open");
    let there = json!({"channel": {"channel": lounge.lounge.id()}});
    let response = lounge.ana.run_command(&open, "/join", there).await;
    response.wait_for_answer_containing("I'm in <#").await;
    lounge
        .ana
        .wait_for_message(&open, "asked me to listen")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_notice_is_refused_it_leaves_unheard() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge.set_consent_by_notice().await;
    lounge.ana.join_voice(&lounge.lounge).await;
    let refused = Fault::status(403).always();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, refused);
    lounge
        .run_and_wait("/join", json!({}), "I left without listening")
        .await;
    lounge.guild.wait_until_bot_in_voice(None).await;
    lounge.discord.clear_faults();
    // Until the end of that one is told, it says so.
    loop {
        let response = lounge.run_command("/join", json!({})).await;
        let answer = response.wait_for_answer().await.text();
        if answer.contains("I'm in") {
            break;
        }
        assert!(
            answer.contains("still finishing the last session"),
            "{answer}"
        );
    }
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_heard_before_the_notice_stands() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge.set_consent_by_notice().await;
    lounge.ana.join_voice(&lounge.lounge).await;
    let gate = Gate::new();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    let response = lounge.run_command("/join", json!({})).await;
    gate.wait_until_reached().await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    let before = lounge.transcription_request_count();
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    gate.open();
    response.wait_for_answer_containing("I'm in <#").await;
    lounge
        .assert_only_new_speech_heard(&lounge.ana, before)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_move_nobody_is_heard_before_they_know() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge.set_consent_by_notice().await;
    lounge.start_session().await;
    let attic = lounge.guild.add_voice_channel("Attic");
    lounge.ben.join_voice(&attic).await;
    let gate = Gate::new();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    lounge.guild.move_bot(&attic);
    gate.wait_until_reached().await;
    lounge.discord.wait_until_bot_receiving(&attic).await;
    let before = lounge.transcription_request_count();
    lounge.ben.speak(sample_bytes("meeting_a.ogg")).await;
    gate.open();
    let notice = lounge
        .ben
        .wait_for_message(&lounge.channel, "I was moved to")
        .await;
    assert!(notice.text().contains(&attic.id().to_string()));
    assert_eq!(notice.buttons().len(), 2);
    lounge
        .assert_only_new_speech_heard(&lounge.ben, before)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_nobody_is_heard_before_they_know() {
    let mut lounge = VoiceFixture::new().await;
    let bot = lounge.start().await;
    lounge.set_consent_by_notice().await;
    lounge.start_session().await;
    bot.kill().await;
    let gate = Gate::new();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    let _bot = lounge.start().await;
    gate.wait_until_reached().await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    let before = lounge.transcription_request_count();
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    gate.open();
    lounge
        .ana
        .wait_for_message(&lounge.channel, "I'm back")
        .await;
    lounge
        .assert_only_new_speech_heard(&lounge.ana, before)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_its_notice_it_posts_it_before_it_listens() {
    let mut lounge = VoiceFixture::new().await;
    let bot = lounge.start().await;
    lounge.set_consent_by_notice().await;
    lounge.ana.join_voice(&lounge.lounge).await;
    let never = Fault::hang().always();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, never);
    drop(lounge.run_command("/join", json!({})).await);
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    lounge
        .discord
        .wait_until(|all| {
            let mut posts = all.iter().filter(|it| it.method == "POST");
            posts.any(|it| it.path.ends_with("/messages"))
        })
        .await;
    bot.kill().await;
    lounge.discord.clear_faults();
    let _bot = lounge.start().await;
    lounge.wait_for_notice().await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    assert!(!lounge.transcript_text().contains("I'm back"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_it_before_the_notice_stands_is_obeyed() {
    let mut lounge = VoiceFixture::new().await;
    let _bot = lounge.start().await;
    lounge.set_consent_by_notice().await;
    lounge.ana.join_voice(&lounge.lounge).await;
    let gate = Gate::new();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    drop(lounge.run_command("/join", json!({})).await);
    gate.wait_until_reached().await;
    let leaving = lounge
        .ben
        .run_command(&lounge.channel, "/leave", json!({}))
        .await;
    lounge.guild.wait_until_bot_in_voice(None).await;
    gate.open();
    leaving.wait_for_answer_containing("I've left").await;
    tokio::time::timeout(Duration::from_secs(30), lounge.wait_for_session_end("."))
        .await
        .expect("told");
}
