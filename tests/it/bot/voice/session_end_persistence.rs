//! What has ended stays ended, whatever becomes of the process; and its end is told once.

use std::time::Duration;

use sandbox::{DiscordEndpoint, Fault, Gate, OpenAiEndpoint, ResponseOutcome};
use serde_json::json;
use talkback::store::Store;

use super::super::harness::{RunningBot, sample_bytes};
use super::{VoiceFixture, attachment_text};

const SPOKEN_TEXT: &str = "I think we should ship on Thursday.";

/// How a process goes.
#[derive(Clone, Copy, Debug)]
enum Shutdown {
    Killed,
    Terminated,
}

/// How a session is ended.
#[derive(Clone, Copy, Debug)]
enum EndTrigger {
    Command,
    DisconnectedByModerator,
    Stage,
}

impl VoiceFixture {
    /// Ana has said something.
    async fn new_with_transcript() -> (Self, RunningBot) {
        let (lounge, bot) = Self::new_with_session().await;
        lounge
            .speak_and_wait(&lounge.ana, "meeting_a.ogg", SPOKEN_TEXT)
            .await;
        (lounge, bot)
    }

    /// How often the end was told, and how many transcripts there are.
    fn end_message_counts(&self) -> (usize, usize) {
        let messages = self.channel.messages();
        let ends = messages
            .iter()
            .filter(|it| it.text().contains("The session is over"));
        let files = messages.iter().flat_map(sandbox::Message::attachments);
        let transcripts = files.filter(|(name, _)| name == "transcript.txt");
        (ends.count(), transcripts.count())
    }

    /// The model was asked so often for anything.
    fn chat_request_count(&self) -> usize {
        let requests = self.sandbox.openai().requests();
        let asked = requests
            .iter()
            .filter(|it| it.path.ends_with("/completions") && it.body_bytes > 1_000);
        asked.count()
    }

    /// Sessions whose end is not all told, as the ledger has it once the bot is gone.
    async fn unfinished_sessions(&self, mut bot: RunningBot) -> usize {
        bot.terminate();
        assert_eq!(bot.wait_for_exit().await, Some(0));
        let (store, _) = Store::open(&self.data(), None).await.expect("the ledger");
        let left = store.unfinished_sessions().await.expect("read").len();
        store.close().await;
        left
    }
}

async fn shut_down(mut bot: RunningBot, how: Shutdown) {
    match how {
        Shutdown::Killed => bot.kill().await,
        Shutdown::Terminated => {
            bot.terminate();
            assert_eq!(bot.wait_for_exit().await, Some(0));
        }
    }
}

/// The process goes while the summary is made, and another one comes.
async fn assert_stays_ended(ended: EndTrigger, how: Shutdown) {
    let (mut lounge, bot) = VoiceFixture::new_with_transcript().await;
    let gate = Gate::new();
    let llm = lounge.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    match ended {
        EndTrigger::Command => drop(lounge.run_command("/leave", json!({})).await),
        EndTrigger::DisconnectedByModerator => lounge.guild.disconnect_bot(),
        EndTrigger::Stage => {
            let stage = lounge.guild.add_stage_channel("Stage");
            lounge.guild.move_bot(&stage);
        }
    }
    gate.wait_until_reached().await;
    shut_down(bot, how).await;
    gate.open();
    llm.says("Decisions:\n- Ship on Thursday [1]\n");
    let joined = lounge.discord.voice_identify_and_resume_counts().0;
    let bot = lounge.start().await;
    let end = lounge
        .ana
        .wait_for_message(&lounge.channel, "The session is over")
        .await;
    let why = match ended {
        EndTrigger::Command => "over.",
        EndTrigger::DisconnectedByModerator => "removed from the call",
        EndTrigger::Stage => "moved to a stage",
    };
    assert!(end.text().contains(why), "{}", end.text());
    assert!(attachment_text(&end, "transcript.txt").contains("Thursday"));
    assert!(end.text().contains("Ship on Thursday"), "{}", end.text());
    // It has answered once, so whatever it would do has been begun.
    lounge
        .run_and_wait("/session", json!({}), "I'm not in a voice channel")
        .await;
    assert_eq!(lounge.discord.voice_identify_and_resume_counts().0, joined);
    assert!(!lounge.transcript_text().contains("I'm back"));
    assert_eq!(lounge.end_message_counts(), (1, 1));
    assert_eq!(lounge.unfinished_sessions(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_left_is_not_gone_into_again_after_a_crash() {
    assert_stays_ended(EndTrigger::Command, Shutdown::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_left_is_not_gone_into_again_after_a_restart() {
    assert_stays_ended(EndTrigger::Command, Shutdown::Terminated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_sent_away_stays_away_after_a_crash() {
    assert_stays_ended(EndTrigger::DisconnectedByModerator, Shutdown::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_sent_away_stays_away_after_a_restart() {
    assert_stays_ended(EndTrigger::DisconnectedByModerator, Shutdown::Terminated).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_not_listened_to_and_not_gone_into_again() {
    assert_stays_ended(EndTrigger::Stage, Shutdown::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_onto_a_stage_it_stops() {
    let (lounge, _bot) = VoiceFixture::new_with_transcript().await;
    let stage = lounge.guild.add_stage_channel("Stage");
    lounge.ana.leave_voice().await;
    lounge.ana.join_voice(&stage).await;
    lounge
        .sandbox
        .assemblyai()
        .set_transcript("This must not be heard.");
    lounge.guild.move_bot(&stage);
    let spoken = lounge.ana.start_speaking(sample_bytes("meeting_c.ogg"));
    let end = lounge
        .wait_for_session_end(": I was moved to a stage")
        .await;
    drop(spoken);
    assert!(attachment_text(&end, "transcript.txt").contains("Thursday"));
    lounge.guild.wait_until_bot_in_voice(None).await;
    assert!(!lounge.transcript_text().contains("must not be heard"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_where_a_moderator_has_moved_it() {
    for how in [Shutdown::Killed, Shutdown::Terminated] {
        let (mut lounge, bot) = VoiceFixture::new_with_transcript().await;
        let attic = lounge.guild.add_voice_channel("Attic");
        lounge.ana.leave_voice().await;
        lounge.ana.join_voice(&attic).await;
        lounge.guild.move_bot(&attic);
        lounge.discord.wait_until_bot_receiving(&attic).await;
        lounge
            .ana
            .wait_for_message(&lounge.channel, "I was moved to")
            .await;
        let said = "I will write the notes tomorrow.";
        lounge
            .speak_and_wait(&lounge.ana, "meeting_c.ogg", said)
            .await;
        shut_down(bot, how).await;
        // Somebody is where it was first.
        lounge.ben.join_voice(&lounge.lounge).await;
        let _bot = lounge.start().await;
        lounge
            .ana
            .wait_for_message(&lounge.channel, "I'm back")
            .await;
        assert_eq!(lounge.guild.bot_voice_channel(), Some(attic.id()));
        lounge.discord.wait_until_bot_receiving(&attic).await;
        lounge
            .speak_and_wait(&lounge.ana, "rust.ogg", "Three tips for Rust.")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_while_nobody_was_there_it_goes_on_there_or_not_at_all() {
    for stage in [false, true] {
        let (mut lounge, bot) = VoiceFixture::new_with_transcript().await;
        bot.kill().await;
        let other = match stage {
            true => lounge.guild.add_stage_channel("Stage"),
            false => lounge.guild.add_voice_channel("Attic"),
        };
        lounge.ana.leave_voice().await;
        lounge.ana.join_voice(&other).await;
        lounge.guild.move_bot(&other);
        let _bot = lounge.start().await;
        if stage {
            lounge
                .wait_for_session_end(": I was moved to a stage")
                .await;
        } else {
            lounge
                .ana
                .wait_for_message(&lounge.channel, "I'm back")
                .await;
            assert_eq!(lounge.guild.bot_voice_channel(), Some(other.id()));
        }
    }
}

/// The process dies after Discord has taken the end, before it learns that.
async fn assert_end_sent_once(nonce_is_known: bool) {
    let (mut lounge, bot) = VoiceFixture::new_with_transcript().await;
    let llm = lounge.sandbox.openai();
    llm.says("Decisions:\n- Ship on Thursday [1]\n");
    let slow = Fault::hang_after_headers();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, slow);
    drop(lounge.run_command("/leave", json!({})).await);
    lounge
        .ana
        .wait_for_message(&lounge.channel, "The session is over")
        .await;
    let asked = lounge.chat_request_count();
    bot.kill().await;
    lounge.discord.clear_faults();
    if !nonce_is_known {
        lounge.discord.set_nonce_lifetime(Duration::ZERO);
    }
    llm.says("Decisions:\n- Never ship [1]\n");
    let bot = lounge.start().await;
    lounge
        .run_and_wait("/session", json!({}), "I'm not in a voice channel")
        .await;
    // Once it is closed, another one can begin and nothing more of it comes.
    lounge.run_and_wait("/join", json!({}), "I'm in <#").await;
    lounge.run_and_wait("/leave", json!({}), "I've left").await;
    assert_eq!(lounge.chat_request_count(), asked);
    assert!(!lounge.transcript_text().contains("Never ship"));
    // The second one, in which nothing was said, has no transcript.
    assert_eq!(lounge.end_message_counts(), (2, 1));
    assert_eq!(lounge.unfinished_sessions(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_being_told_is_not_told_twice() {
    assert_end_sent_once(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_being_told_is_found_without_its_nonce() {
    assert_end_sent_once(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_discord_does_not_take_is_told_by_the_next_process() {
    let (mut lounge, bot) = VoiceFixture::new_with_transcript().await;
    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    let down = Fault::status(503).always();
    lounge
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, down);
    let before = lounge.discord.requests().len();
    drop(lounge.run_command("/leave", json!({})).await);
    lounge
        .discord
        .wait_until(|requests| {
            let mut new = requests.iter().skip(before);
            new.any(|it| {
                it.method == "POST"
                    && it.path.ends_with("/messages")
                    && it.outcome != ResponseOutcome::Pending
            })
        })
        .await;
    let asked = lounge.chat_request_count();
    bot.kill().await;
    lounge.discord.clear_faults();
    let bot = lounge.start().await;
    let end = lounge
        .ana
        .wait_for_message(&lounge.channel, "The session is over")
        .await;
    assert!(end.text().contains("Ship on Thursday"), "{}", end.text());
    assert_eq!(lounge.chat_request_count(), asked);
    assert_eq!(lounge.end_message_counts(), (1, 1));
    assert_eq!(lounge.unfinished_sessions(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sends_it_away_while_it_is_gone_leaves_no_session() {
    let (mut lounge, bot) = VoiceFixture::new_with_transcript().await;
    bot.kill().await;
    lounge.guild.remove_bot();
    let mut bot = lounge.launch();
    bot.wait_for_log("removed from a server").await;
    assert_eq!(lounge.unfinished_sessions(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_told_in_a_channel_that_goes_ends() {
    let (lounge, bot) = VoiceFixture::new_with_transcript().await;
    lounge.channel.delete();
    lounge.guild.wait_until_bot_in_voice(None).await;
    assert_eq!(lounge.unfinished_sessions(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_goes_while_nobody_is_there_ends_its_session() {
    for voice in [true, false] {
        let (mut lounge, bot) = VoiceFixture::new_with_transcript().await;
        bot.kill().await;
        match voice {
            true => lounge.lounge.delete(),
            false => lounge.channel.delete(),
        }
        let bot = lounge.start().await;
        if voice {
            lounge
                .ana
                .wait_for_message(&lounge.channel, "The session is over")
                .await;
        }
        lounge.guild.wait_until_bot_in_voice(None).await;
        assert_eq!(lounge.unfinished_sessions(bot).await, 0);
    }
}
