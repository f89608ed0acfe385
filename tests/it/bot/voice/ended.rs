//! What has ended stays ended, whatever becomes of the process; and its end is told once.

use std::time::Duration;

use sandbox::{DiscordEndpoint, Fault, Gate, OpenAiEndpoint, Outcome};
use serde_json::json;
use talkback::store::Store;

use super::super::running::{Bot, recording};
use super::{Lounge, file};

const SAID: &str = "I think we should ship on Thursday.";

/// How a process goes.
#[derive(Clone, Copy, Debug)]
enum Goes {
    Killed,
    Asked,
}

/// How a session is ended.
#[derive(Clone, Copy, Debug)]
enum Ended {
    Command,
    Moderator,
    Stage,
}

impl Lounge {
    /// Ana has said something.
    async fn with_words() -> (Self, Bot) {
        let (lounge, bot) = Self::with_session().await;
        lounge.says(&lounge.ana, "meeting_a.ogg", SAID).await;
        (lounge, bot)
    }

    /// How often the end was told, and how many transcripts there are.
    fn ends_told(&self) -> (usize, usize) {
        let messages = self.channel.messages();
        let ends = messages
            .iter()
            .filter(|it| it.text().contains("The session is over"));
        let files = messages.iter().flat_map(sandbox::Message::files);
        let transcripts = files.filter(|(name, _)| name == "transcript.txt");
        (ends.count(), transcripts.count())
    }

    /// The model was asked so often for anything.
    fn asked_model(&self) -> usize {
        let requests = self.sandbox.openai().requests();
        let asked = requests
            .iter()
            .filter(|it| it.path.ends_with("/completions") && it.body_bytes > 1_000);
        asked.count()
    }

    /// Sessions whose end is not all told, as the ledger has it once the bot is gone.
    async fn left_open(&self, mut bot: Bot) -> usize {
        bot.terminate();
        assert_eq!(bot.ends().await, Some(0));
        let (store, _) = Store::open(&self.data(), None).await.expect("the ledger");
        let left = store.left_sessions().await.expect("read").len();
        store.close().await;
        left
    }
}

async fn goes(mut bot: Bot, how: Goes) {
    match how {
        Goes::Killed => bot.dies().await,
        Goes::Asked => {
            bot.terminate();
            assert_eq!(bot.ends().await, Some(0));
        }
    }
}

/// The process goes while the summary is made, and another one comes.
async fn stays_ended(ended: Ended, how: Goes) {
    let (mut lounge, bot) = Lounge::with_words().await;
    let gate = Gate::new();
    let llm = lounge.sandbox.openai();
    llm.fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    match ended {
        Ended::Command => drop(lounge.runs("/leave", json!({})).await),
        Ended::Moderator => lounge.guild.disconnects_bot(),
        Ended::Stage => {
            let stage = lounge.guild.stage_channel("Stage");
            lounge.guild.moves_bot(&stage);
        }
    }
    gate.reached().await;
    goes(bot, how).await;
    gate.open();
    llm.says("Decisions:\n- Ship on Thursday [1]\n");
    let joined = lounge.discord.voice_logins().0;
    let bot = lounge.start().await;
    let end = lounge
        .ana
        .sees(&lounge.channel, "The session is over")
        .await;
    let why = match ended {
        Ended::Command => "over.",
        Ended::Moderator => "taken out of the call",
        Ended::Stage => "moved onto a stage",
    };
    assert!(end.text().contains(why), "{}", end.text());
    assert!(file(&end, "transcript.txt").contains("Thursday"));
    assert!(end.text().contains("Ship on Thursday"), "{}", end.text());
    // It has answered once, so whatever it would do has been begun.
    lounge
        .answered("/session", json!({}), "I am in no voice channel")
        .await;
    assert_eq!(lounge.discord.voice_logins().0, joined);
    assert!(!lounge.shown().contains("I am back"));
    assert_eq!(lounge.ends_told(), (1, 1));
    assert_eq!(lounge.left_open(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_left_is_not_gone_into_again_after_a_crash() {
    stays_ended(Ended::Command, Goes::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_has_left_is_not_gone_into_again_after_a_restart() {
    stays_ended(Ended::Command, Goes::Asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_sent_away_stays_away_after_a_crash() {
    stays_ended(Ended::Moderator, Goes::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_sent_away_stays_away_after_a_restart() {
    stays_ended(Ended::Moderator, Goes::Asked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_is_not_listened_to_and_not_gone_into_again() {
    stays_ended(Ended::Stage, Goes::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_onto_a_stage_it_stops() {
    let (lounge, _bot) = Lounge::with_words().await;
    let stage = lounge.guild.stage_channel("Stage");
    lounge.ana.leaves_voice().await;
    lounge.ana.joins_voice(&stage).await;
    lounge.sandbox.assemblyai().hears("This must not be heard.");
    lounge.guild.moves_bot(&stage);
    let spoken = lounge.ana.begins_to_speak(recording("meeting_c.ogg"));
    let end = lounge.is_over(": I was moved onto a stage").await;
    drop(spoken);
    assert!(file(&end, "transcript.txt").contains("Thursday"));
    lounge.guild.until_bot_in_voice(None).await;
    assert!(!lounge.shown().contains("must not be heard"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_where_a_moderator_has_moved_it() {
    for how in [Goes::Killed, Goes::Asked] {
        let (mut lounge, bot) = Lounge::with_words().await;
        let attic = lounge.guild.voice_channel("Attic");
        lounge.ana.leaves_voice().await;
        lounge.ana.joins_voice(&attic).await;
        lounge.guild.moves_bot(&attic);
        lounge.discord.until_bot_hears(&attic).await;
        lounge.ana.sees(&lounge.channel, "I was moved to").await;
        let said = "I will write the notes tomorrow.";
        lounge.says(&lounge.ana, "meeting_c.ogg", said).await;
        goes(bot, how).await;
        // Somebody is where it was first.
        lounge.ben.joins_voice(&lounge.lounge).await;
        let _bot = lounge.start().await;
        lounge.ana.sees(&lounge.channel, "I am back").await;
        assert_eq!(lounge.guild.bot_in_voice(), Some(attic.id()));
        lounge.discord.until_bot_hears(&attic).await;
        lounge
            .says(&lounge.ana, "rust.ogg", "Three tips for Rust.")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moved_while_nobody_was_there_it_goes_on_there_or_not_at_all() {
    for stage in [false, true] {
        let (mut lounge, bot) = Lounge::with_words().await;
        bot.dies().await;
        let other = match stage {
            true => lounge.guild.stage_channel("Stage"),
            false => lounge.guild.voice_channel("Attic"),
        };
        lounge.ana.leaves_voice().await;
        lounge.ana.joins_voice(&other).await;
        lounge.guild.moves_bot(&other);
        let _bot = lounge.start().await;
        if stage {
            lounge.is_over(": I was moved onto a stage").await;
        } else {
            lounge.ana.sees(&lounge.channel, "I am back").await;
            assert_eq!(lounge.guild.bot_in_voice(), Some(other.id()));
        }
    }
}

/// The process dies after Discord has taken the end, before it learns that.
async fn is_told_once(nonce_is_known: bool) {
    let (mut lounge, bot) = Lounge::with_words().await;
    let llm = lounge.sandbox.openai();
    llm.says("Decisions:\n- Ship on Thursday [1]\n");
    let slow = Fault::hang_after_headers();
    lounge.discord.fault(DiscordEndpoint::CreateMessage, slow);
    drop(lounge.runs("/leave", json!({})).await);
    lounge
        .ana
        .sees(&lounge.channel, "The session is over")
        .await;
    let asked = lounge.asked_model();
    bot.dies().await;
    lounge.discord.clear_faults();
    if !nonce_is_known {
        lounge.discord.nonce_lifetime(Duration::ZERO);
    }
    llm.says("Decisions:\n- Never ship [1]\n");
    let bot = lounge.start().await;
    lounge
        .answered("/session", json!({}), "I am in no voice channel")
        .await;
    // Once it is closed, another one can begin and nothing more of it comes.
    lounge.answered("/join", json!({}), "I am in <#").await;
    lounge.answered("/leave", json!({}), "I have left").await;
    assert_eq!(lounge.asked_model(), asked);
    assert!(!lounge.shown().contains("Never ship"));
    // The second one, in which nothing was said, has no transcript.
    assert_eq!(lounge.ends_told(), (2, 1));
    assert_eq!(lounge.left_open(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_being_told_is_not_told_twice() {
    is_told_once(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_was_being_told_is_found_without_its_nonce() {
    is_told_once(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_discord_does_not_take_is_told_by_the_next_process() {
    let (mut lounge, bot) = Lounge::with_words().await;
    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    let down = Fault::status(503).always();
    lounge.discord.fault(DiscordEndpoint::CreateMessage, down);
    let before = lounge.discord.requests().len();
    drop(lounge.runs("/leave", json!({})).await);
    lounge
        .discord
        .wait_until(|requests| {
            let mut new = requests.iter().skip(before);
            new.any(|it| {
                it.method == "POST"
                    && it.path.ends_with("/messages")
                    && it.outcome != Outcome::Answering
            })
        })
        .await;
    let asked = lounge.asked_model();
    bot.dies().await;
    lounge.discord.clear_faults();
    let bot = lounge.start().await;
    let end = lounge
        .ana
        .sees(&lounge.channel, "The session is over")
        .await;
    assert!(end.text().contains("Ship on Thursday"), "{}", end.text());
    assert_eq!(lounge.asked_model(), asked);
    assert_eq!(lounge.ends_told(), (1, 1));
    assert_eq!(lounge.left_open(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_sends_it_away_while_it_is_gone_leaves_no_session() {
    let (mut lounge, bot) = Lounge::with_words().await;
    bot.dies().await;
    lounge.guild.removes_bot();
    let mut bot = lounge.launch();
    bot.until_it_says("removed from a server").await;
    assert_eq!(lounge.left_open(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_told_in_a_channel_that_goes_ends() {
    let (lounge, bot) = Lounge::with_words().await;
    lounge.channel.delete();
    lounge.guild.until_bot_in_voice(None).await;
    assert_eq!(lounge.left_open(bot).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_goes_while_nobody_is_there_ends_its_session() {
    for voice in [true, false] {
        let (mut lounge, bot) = Lounge::with_words().await;
        bot.dies().await;
        match voice {
            true => lounge.lounge.delete(),
            false => lounge.channel.delete(),
        }
        let bot = lounge.start().await;
        if voice {
            lounge
                .ana
                .sees(&lounge.channel, "The session is over")
                .await;
        }
        lounge.guild.until_bot_in_voice(None).await;
        assert_eq!(lounge.left_open(bot).await, 0);
    }
}
