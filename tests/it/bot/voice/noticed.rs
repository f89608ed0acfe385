//! Nobody is listened to who could not know it: the notice stands first.

use std::time::Duration;

use sandbox::{Channel, DiscordEndpoint, Fault, Gate, Person};
use serde_json::json;

use super::super::running::recording;
use super::Lounge;

const SEND: u64 = 1 << 11;
const CONNECT: u64 = 1 << 20;
const SEND_IN_THREADS: u64 = 1 << 38;

impl Lounge {
    /// Ana wants it to come, from another channel.
    async fn refused(&self, place: &Channel, words: &str) {
        let there = json!({"channel": {"channel": self.lounge.id()}});
        let response = self.ana.runs(place, "/join", there).await;
        response.answer_with(words).await;
        assert_eq!(self.guild.bot_in_voice(), None);
    }

    /// Recordings that went to a provider.
    fn sent(&self) -> usize {
        let requests = self.sandbox.assemblyai().requests();
        requests.iter().filter(|it| it.body_bytes > 1_000).count()
    }

    /// Somebody has said something too early. What they say now is all that goes to a provider.
    async fn only_this_is_heard(&self, person: &Person, before: usize) {
        self.says(person, "meeting_c.ogg", "I will write the notes tomorrow.")
            .await;
        assert_eq!(self.sent(), before + 1);
    }

    /// Everybody is written down who has not said no.
    async fn by_notice(&self) {
        self.ana.may_manage_server();
        let everybody = json!({"consent": "notice"});
        self.answered(
            "/settings voice",
            everybody,
            "everybody but who has declined",
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_only_where_it_can_write() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge.ana.joins_voice(&lounge.lounge).await;
    let thread = lounge.channel.thread("talk");
    thread.denies_bot(SEND_IN_THREADS);
    lounge
        .refused(&thread, "I may not write in this thread")
        .await;
    let silent = lounge.guild.channel("silent");
    silent.denies_bot(SEND_IN_THREADS);
    let below = silent.thread("below");
    lounge
        .refused(&below, "I may not write in this thread")
        .await;
    let locked = lounge.channel.thread("locked");
    locked.locks();
    lounge.refused(&locked, "This thread is locked").await;
    // The text of a voice channel belongs to who may connect to it.
    let closed = lounge.guild.voice_channel("Closed");
    closed.denies_bot(CONNECT);
    lounge
        .refused(&closed, "I may not write in this channel")
        .await;
    let mute = lounge.guild.voice_channel("Mute");
    mute.denies_bot(SEND);
    lounge
        .refused(&mute, "I may not write in this channel")
        .await;
    lounge.guild.times_out_bot(true);
    lounge
        .refused(&lounge.channel, "I am timed out in this server")
        .await;
    lounge.guild.times_out_bot(false);
    // A thread whose channel takes nothing else is a place to write in.
    let quiet = lounge.guild.channel("quiet");
    quiet.denies_bot(SEND);
    let open = quiet.thread("open");
    let there = json!({"channel": {"channel": lounge.lounge.id()}});
    let response = lounge.ana.runs(&open, "/join", there).await;
    response.answer_with("I am in <#").await;
    lounge.ana.sees(&open, "asked me to listen").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_notice_is_refused_it_leaves_unheard() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge.by_notice().await;
    lounge.ana.joins_voice(&lounge.lounge).await;
    let refused = Fault::status(403).always();
    lounge
        .discord
        .fault(DiscordEndpoint::CreateMessage, refused);
    lounge
        .answered("/join", json!({}), "I have not listened and left again")
        .await;
    lounge.guild.until_bot_in_voice(None).await;
    lounge.discord.clear_faults();
    // Until the end of that one is told, it says so.
    loop {
        let response = lounge.runs("/join", json!({})).await;
        let answer = response.answer().await.text();
        if answer.contains("I am in") {
            break;
        }
        assert!(answer.contains("still writing the end"), "{answer}");
    }
    lounge.discord.until_bot_hears(&lounge.lounge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_heard_before_the_notice_stands() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge.by_notice().await;
    lounge.ana.joins_voice(&lounge.lounge).await;
    let gate = Gate::new();
    lounge
        .discord
        .fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    let response = lounge.runs("/join", json!({})).await;
    gate.reached().await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    let before = lounge.sent();
    lounge.ana.speaks(recording("meeting_a.ogg")).await;
    gate.open();
    response.answer_with("I am in <#").await;
    lounge.only_this_is_heard(&lounge.ana, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_move_nobody_is_heard_before_they_know() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge.by_notice().await;
    lounge.begins().await;
    let attic = lounge.guild.voice_channel("Attic");
    lounge.ben.joins_voice(&attic).await;
    let gate = Gate::new();
    lounge
        .discord
        .fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    lounge.guild.moves_bot(&attic);
    gate.reached().await;
    lounge.discord.until_bot_hears(&attic).await;
    let before = lounge.sent();
    lounge.ben.speaks(recording("meeting_a.ogg")).await;
    gate.open();
    let notice = lounge.ben.sees(&lounge.channel, "I was moved to").await;
    assert!(notice.text().contains(&attic.id().to_string()));
    assert_eq!(notice.buttons().len(), 2);
    lounge.only_this_is_heard(&lounge.ben, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_nobody_is_heard_before_they_know() {
    let mut lounge = Lounge::new().await;
    let bot = lounge.start().await;
    lounge.by_notice().await;
    lounge.begins().await;
    bot.dies().await;
    let gate = Gate::new();
    lounge
        .discord
        .fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    let _bot = lounge.start().await;
    gate.reached().await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    let before = lounge.sent();
    lounge.ana.speaks(recording("meeting_a.ogg")).await;
    gate.open();
    lounge.ana.sees(&lounge.channel, "I am back").await;
    lounge.only_this_is_heard(&lounge.ana, before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_before_its_notice_it_posts_it_before_it_listens() {
    let mut lounge = Lounge::new().await;
    let bot = lounge.start().await;
    lounge.by_notice().await;
    lounge.ana.joins_voice(&lounge.lounge).await;
    let never = Fault::hang().always();
    lounge.discord.fault(DiscordEndpoint::CreateMessage, never);
    drop(lounge.runs("/join", json!({})).await);
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    lounge
        .discord
        .wait_until(|all| {
            let mut posts = all.iter().filter(|it| it.method == "POST");
            posts.any(|it| it.path.ends_with("/messages"))
        })
        .await;
    bot.dies().await;
    lounge.discord.clear_faults();
    let _bot = lounge.start().await;
    lounge.notice().await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    assert!(!lounge.shown().contains("I am back"));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_ends_it_before_the_notice_stands_is_obeyed() {
    let mut lounge = Lounge::new().await;
    let _bot = lounge.start().await;
    lounge.by_notice().await;
    lounge.ana.joins_voice(&lounge.lounge).await;
    let gate = Gate::new();
    lounge
        .discord
        .fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    drop(lounge.runs("/join", json!({})).await);
    gate.reached().await;
    let leaving = lounge.ben.runs(&lounge.channel, "/leave", json!({})).await;
    lounge.guild.until_bot_in_voice(None).await;
    gate.open();
    leaving.answer_with("I have left").await;
    tokio::time::timeout(Duration::from_secs(30), lounge.is_over("."))
        .await
        .expect("told");
}
