//! Every paid call is judged before, and booked after, whatever becomes of it.

use std::time::Duration;

use bytes::Bytes;
use sandbox::{
    AssemblyAiEndpoint, DiscordEndpoint, Fault, Gate, OpenAiEndpoint, RecordedRequest, Server,
};
use serde_json::json;
use talkback::store::{
    SessionId, Store, Timestamp, Usage, UsageAccount, UsageEntry, UsageScope, UsageStage,
};

use super::harness::{BotFixture, RunningBot, question_recording};

const SEND_MESSAGES: u64 = 1 << 11;

const DAILY_LIMIT_MESSAGE: &str = "You've reached today's limit. Try again after midnight UTC.";

/// An hour costs 0.36, a second 0.0001. A million tokens cost 1 either way.
pub(super) const PRICES: [(&str, &str); 4] = [
    ("PRICE_SPEECH_HOUR", "0.36"),
    ("PRICE_STREAMING_HOUR", "0.36"),
    ("PRICE_INPUT_MILLION", "1"),
    ("PRICE_OUTPUT_MILLION", "1"),
];

/// What the ledger says was used, once the bot has ended as it should.
pub(super) async fn booked_usage(mut bot: RunningBot, scene: &BotFixture) -> Usage {
    bot.terminate();
    assert_eq!(bot.wait_for_exit().await, Some(0), "{}", bot.stderr());
    let (store, _) = Store::open(&scene.data(), None).await.expect("the ledger");
    let day = Timestamp::now().day();
    let used = store
        .usage_on_day(day, UsageScope::Global)
        .await
        .expect("read");
    let yesterday = store
        .usage_on_day(day - 1, UsageScope::Global)
        .await
        .expect("read");
    store.close().await;
    used.saturating_add(&yesterday)
}

/// How often somebody who is paid was given something.
fn paid_calls(scene: &BotFixture) -> usize {
    let paid = |path: &str| {
        ["/transcribe", "/upload", "/transcript", "/completions"]
            .iter()
            .any(|end| path.ends_with(end))
    };
    let requests = scene.sandbox.requests();
    let calls = requests
        .iter()
        // At its start the bot tries out the provider without a recording.
        .filter(|it| it.server != Server::Discord && paid(&it.path) && it.body_bytes > 600);
    calls.count()
}

async fn scene_with_prices(more: &[(&str, &str)]) -> (BotFixture, RunningBot) {
    let mut scene = BotFixture::new().await;
    for (variable, value) in PRICES.iter().chain(more) {
        scene.set(variable, value);
    }
    let bot = scene.start().await;
    (scene, bot)
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_again_is_judged_like_a_new_request() {
    let (scene, mut bot) = scene_with_prices(&[
        ("PRICE_OUTPUT_MILLION", "1000000"),
        ("DAILY_COST_PER_MEMBER", "0.1"),
        ("BUDGET_FALLBACK", "local"),
    ])
    .await;
    let typed = scene.ana.says(&scene.ana.dm_channel(), "What is it?").await;
    let reply = scene.ana.wait_for_reply(&typed).await;
    reply.wait_until_done().await;
    let paid = paid_calls(&scene);
    // Without models on this machine there is nobody to go on with.
    let pressed = scene.ana.press_button(&reply, "Try again").await;
    if cfg!(feature = "local") {
        // Its engines are tried, and can't answer either without their models.
        bot.wait_for_log_times("outcome=\"chat_failed\"", 1).await;
    } else {
        assert_eq!(pressed.wait_for_answer().await.text(), DAILY_LIMIT_MESSAGE);
    }
    assert_eq!(paid_calls(&scene), paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_again_counts_for_the_cooldown() {
    const COOLDOWN: Duration = Duration::from_secs(5);
    let (scene, _bot) = scene_with_prices(&[("COOLDOWN_SECONDS", "5")]).await;
    let direct = scene.ana.dm_channel();
    let typed = scene.ana.says(&direct, "What is it?").await;
    let reply = scene.ana.wait_for_reply(&typed).await;
    reply.wait_until_done().await;
    let early = scene.ana.press_button(&reply, "Try again").await;
    let early = early.wait_for_answer().await.text();
    assert!(early.starts_with("That was quick."), "{early}");
    // It is the bot's clock that has to go on.
    tokio::time::sleep(COOLDOWN).await;
    let asked = |requests: &[RecordedRequest]| {
        let asked = |it: &&RecordedRequest| it.path.ends_with("/chat/completions");
        requests.iter().filter(asked).count()
    };
    let before = asked(&scene.sandbox.openai().requests());
    let pressed = scene.ana.press_button(&reply, "Try again").await;
    pressed.wait_until_acknowledged().await;
    // It is accepted after it is acknowledged.
    let llm = scene.sandbox.openai();
    llm.wait_until(|requests| asked(requests) > before).await;
    let next = scene.ana.says(&direct, "And now?").await;
    let next = scene.ana.wait_for_reply(&next).await.text();
    assert!(next.starts_with("That was quick."), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_judged_by_how_long_they_play_whatever_was_announced() {
    let (scene, bot) = scene_with_prices(&[("DAILY_COST_PER_MEMBER", "0.0002")]).await;
    let direct = scene.ana.dm_channel();
    // It plays for three seconds, which nobody says of a file.
    let file = scene
        .ana
        .send_files(&direct, "", &[("a.ogg", question_recording())])
        .await;
    assert_eq!(
        scene
            .ana
            .wait_for_reply(&file)
            .await
            .wait_until_done()
            .await,
        DAILY_LIMIT_MESSAGE
    );
    let note = scene
        .ana
        .send_voice_message_with_duration(&direct, question_recording(), 0.1)
        .await;
    assert_eq!(
        scene
            .ana
            .wait_for_reply(&note)
            .await
            .wait_until_done()
            .await,
        DAILY_LIMIT_MESSAGE
    );
    assert_eq!(paid_calls(&scene), 0);
    assert_eq!(booked_usage(bot, &scene).await, Usage::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_recordings_of_a_message_are_judged_one_by_one() {
    let (scene, bot) = scene_with_prices(&[("DAILY_COST_PER_MEMBER", "0.0005")]).await;
    let files = [
        ("a.ogg", question_recording()),
        ("b.ogg", question_recording()),
    ];
    let note = scene
        .ana
        .send_files(&scene.ana.dm_channel(), "", &files)
        .await;
    let reply = scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    assert!(reply.ends_with(DAILY_LIMIT_MESSAGE), "{reply}");
    assert_eq!(paid_calls(&scene), 1);
    let length = scene.sandbox.assemblyai().billed_audio();
    assert_eq!(booked_usage(bot, &scene).await.audio_ms, as_millis(length));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_deleted_while_it_grows_is_booked() {
    let (scene, bot) = scene_with_prices(&[]).await;
    let llm = scene.sandbox.openai();
    let gate = Gate::new();
    llm.says(&"Long words of a long answer, ".repeat(20));
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate_after_chunks(&gate, 60));
    let typed = scene.ana.says(&scene.ana.dm_channel(), "What is it?").await;
    let reply = scene
        .ana
        .wait_for_reply_containing(&typed, "Long words")
        .await;
    gate.wait_until_reached().await;
    typed.delete();
    reply.wait_until_deleted().await;
    gate.open();
    let (prompt, whole) = llm.billed_tokens();
    let used = booked_usage(bot, &scene).await;
    // By an estimate, since nobody was left to hear what it cost.
    assert!(used.tokens_in >= prompt / 2, "{used:?} {prompt}");
    assert!(used.tokens_out > whole / 4, "{used:?} {whole}");
    assert_eq!(used.micros, used.tokens_in + used.tokens_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_in_which_nothing_is_understood_are_booked() {
    let (scene, bot) = scene_with_prices(&[]).await;
    scene.sandbox.assemblyai().set_transcript("");
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    scene
        .ana
        .wait_for_reply(&note)
        .await
        .wait_until_done()
        .await;
    let billed = scene.sandbox.assemblyai().billed_audio();
    let used = booked_usage(bot, &scene).await;
    assert!(used.micros > 0);
    assert_eq!(used.audio_ms, as_millis(billed));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_paid_for_what_cannot_be_shown() {
    let (scene, mut bot) = scene_with_prices(&[]).await;
    scene.enable_notes().await;
    // It may not write here.
    let quiet = scene.guild.add_text_channel("quiet");
    let on = json!({"on": true});
    let response = scene.ana.run_command(&quiet, "/settings notes", on).await;
    response.wait_for_answer().await;
    quiet.deny_bot(SEND_MESSAGES);
    scene
        .ana
        .send_voice_message(&quiet, question_recording())
        .await;
    bot.wait_for_log("not delivered").await;
    // Somebody has blocked it.
    let blocked = Fault::status(403).code("50007").always();
    scene
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, blocked);
    scene
        .ben
        .send_voice_message(&scene.ben.dm_channel(), question_recording())
        .await;
    bot.wait_for_log_times("not delivered", 2).await;
    scene
        .ben
        .says(&scene.ben.dm_channel(), "Are you there?")
        .await;
    bot.wait_for_log_times("not delivered", 3).await;
    assert_eq!(paid_calls(&scene), 0);
    assert_eq!(booked_usage(bot, &scene).await, Usage::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_discord_is_waited_for_before_anybody_is_paid() {
    let (scene, mut bot) = scene_with_prices(&[]).await;
    let gate = Gate::new();
    scene
        .discord
        .add_fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    let direct = scene.ana.dm_channel();
    let note = scene
        .ana
        .send_voice_message(&direct, question_recording())
        .await;
    gate.wait_until_reached().await;
    bot.wait_for_log("decoded").await;
    // Meanwhile somebody else is served from first to last.
    let direct = scene.ben.dm_channel();
    let other = scene
        .ben
        .send_voice_message(&direct, question_recording())
        .await;
    scene
        .ben
        .wait_for_reply(&other)
        .await
        .wait_until_done()
        .await;
    assert_eq!(paid_calls(&scene), 2);
    gate.open();
    scene.ana.wait_for_reply_containing(&note, "Paris.").await;
    assert_eq!(paid_calls(&scene), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_gone_ends_the_work() {
    let (scene, mut bot) = scene_with_prices(&[]).await;
    scene.enable_notes().await;
    let side = scene.guild.add_text_channel("side");
    let on = json!({"on": true});
    let response = scene.ana.run_command(&side, "/settings notes", on).await;
    response.wait_for_answer().await;
    let gate = Gate::new();
    let ears = scene.sandbox.assemblyai();
    ears.add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate).times(2));
    let in_channel = scene
        .ana
        .send_voice_message(&side, question_recording())
        .await;
    scene.ana.wait_for_reply(&in_channel).await;
    let in_server = scene
        .ben
        .send_voice_message(&scene.channel, question_recording())
        .await;
    scene.ben.wait_for_reply(&in_server).await;
    gate.wait_until_reached_times(2).await;
    side.delete();
    bot.wait_for_log("stopped with its place").await;
    scene.guild.remove_bot();
    bot.wait_for_log_times("stopped with its place", 2).await;
    gate.open();
    let asked = scene.sandbox.openai().requests();
    assert!(asked.iter().all(|it| !it.path.ends_with("/completions")));
    let billed = ears.billed_audio();
    assert_eq!(booked_usage(bot, &scene).await.audio_ms, as_millis(billed));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_at_all_may_be_spent_where_the_cap_is_zero() {
    let (scene, bot) = scene_with_prices(&[("DAILY_COST_PER_MEMBER", "0")]).await;
    let direct = scene.ana.dm_channel();
    let typed = scene.ana.says(&direct, "What is it?").await;
    assert_eq!(
        scene.ana.wait_for_reply(&typed).await.text(),
        DAILY_LIMIT_MESSAGE
    );
    let asked = json!({"question": "What is it?"});
    let response = scene.ana.run_command(&scene.channel, "/ask", asked).await;
    assert_eq!(response.wait_for_answer().await.text(), DAILY_LIMIT_MESSAGE);
    assert_eq!(paid_calls(&scene), 0);
    assert_eq!(booked_usage(bot, &scene).await, Usage::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_reply_that_is_deleted_ends_the_work() {
    let (scene, mut bot) = scene_with_prices(&[]).await;
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    gate.wait_until_reached().await;
    reply.delete();
    bot.wait_for_log("the reply was deleted").await;
    gate.open();
    let asked = scene.sandbox.openai().requests();
    assert!(asked.iter().all(|it| !it.path.ends_with("/completions")));
    assert!(note.bot_replies().iter().all(sandbox::Message::is_deleted));
    // The recording was with the provider by then.
    let billed = scene.sandbox.assemblyai().billed_audio();
    assert_eq!(booked_usage(bot, &scene).await.audio_ms, as_millis(billed));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_was_paying_for_is_booked() {
    let (mut scene, bot) = scene_with_prices(&[("DAILY_MINUTES_PER_MEMBER", "1")]).await;
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .send_voice_message(&scene.ana.dm_channel(), question_recording())
        .await;
    gate.wait_until_reached().await;
    bot.kill().await;
    gate.open();
    let bot = scene.start().await;
    scene
        .ana
        .wait_for_reply_containing(&note, "Paris.")
        .await
        .wait_until_done()
        .await;
    let billed = scene.sandbox.assemblyai().billed_audio();
    let used = booked_usage(bot, &scene).await;
    assert_eq!(used.audio_ms, as_millis(billed), "twice the same recording");
}

/// The rule itself: what the providers saw is what the ledger says, whatever became of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_providers_saw_is_what_is_booked() {
    let (scene, bot) = scene_with_prices(&[("SPEECH_PROVIDERS", "sync,prerecorded")]).await;
    let (ears, llm) = (scene.sandbox.assemblyai(), scene.sandbox.openai());
    let direct = scene.ana.dm_channel();
    let outcomes: [(&str, Option<Fault>, Option<Fault>); 9] = [
        ("all is well", None, None),
        (
            "refused and tried again",
            Some(Fault::status(503)),
            Some(Fault::status(503)),
        ),
        (
            "broken off and tried again",
            Some(Fault::reset_connection()),
            None,
        ),
        (
            "the answer is lost on its way",
            Some(Fault::close_mid_body()),
            None,
        ),
        (
            "the answer makes no sense",
            Some(Fault::malformed_json()),
            None,
        ),
        (
            "the key is refused: another provider",
            Some(Fault::unauthorized()),
            None,
        ),
        ("the model refuses", None, Some(Fault::status(400))),
        (
            "the model is cut off",
            None,
            Some(Fault::close_after_chunks(1)),
        ),
        (
            "the model says nothing of its use",
            None,
            Some(Fault::omit_usage()),
        ),
    ];
    let mut exact = true;
    for (what, of_ears, of_llm) in outcomes {
        exact &= of_llm.is_none();
        if let Some(fault) = of_ears {
            ears.add_fault(AssemblyAiEndpoint::Sync, fault);
        }
        if let Some(fault) = of_llm {
            llm.add_fault(OpenAiEndpoint::Chat, fault);
        }
        let note = scene
            .ana
            .send_voice_message(&direct, question_recording())
            .await;
        let told = scene
            .ana
            .wait_for_reply(&note)
            .await
            .wait_until_done()
            .await;
        assert!(!told.is_empty(), "{what}");
        ears.clear_faults();
        llm.clear_faults();
    }
    let typed = scene.ana.says(&direct, "And typed?").await;
    scene
        .ana
        .wait_for_reply(&typed)
        .await
        .wait_until_done()
        .await;
    let broken = Bytes::from_static(b"no sound");
    let file = scene
        .ana
        .send_files(&direct, "", &[("a.ogg", broken)])
        .await;
    scene
        .ana
        .wait_for_reply(&file)
        .await
        .wait_until_done()
        .await;

    let used = booked_usage(bot, &scene).await;
    let (prompt, answer) = llm.billed_tokens();
    assert_eq!(used.audio_ms, as_millis(ears.billed_audio()));
    // What a server does not say is estimated, on the high side.
    assert!(!exact);
    let within = |booked: u64, billed: u64| booked >= billed && booked <= billed * 2;
    assert!(within(used.tokens_in, prompt), "{used:?} {prompt}");
    assert!(within(used.tokens_out, answer), "{used:?} {answer}");
    let speech = used.audio_ms.div_ceil(10);
    let chat = used.tokens_in + used.tokens_out;
    // Each recording is rounded up.
    assert!(used.micros.abs_diff(speech + chat) < 20, "{used:?}");
}

/// `/usage` adds up everything, however many rows there are.
#[tokio::test(flavor = "multi_thread")]
async fn usage_command_sums_all_rows() {
    let (mut scene, bot) = scene_with_prices(&[]).await;
    bot.kill().await;
    let (store, _) = Store::open(&scene.data(), None).await.expect("the ledger");
    let day = Timestamp::now().day();
    // More members than rows were read, each dearer than Ana.
    for member in 0..5_050 {
        let booking = UsageEntry {
            call: None,
            account: UsageAccount::Session(SessionId(1)),
            stage: UsageStage::Speech,
            guild: Some(scene.guild.id()),
            author: if member == 0 { scene.ana.id() } else { member },
            day,
            usage: Usage {
                audio_ms: 60_000,
                micros: if member == 0 { 100 } else { 1_000 },
                ..Usage::default()
            },
        };
        store.record_usage(&booking).await.expect("booked");
    }
    store.close().await;
    let _bot = scene.start().await;
    let own = scene
        .ana
        .run_command(&scene.channel, "/usage", json!({}))
        .await;
    let own = own.wait_for_answer_containing("The last").await.text();
    assert!(own.contains(&format!("<@{}>", scene.ana.id())), "{own}");
    assert!(own.contains("about 0.0001"), "{own}");
    scene.ana.grant_manage_guild();
    let all = scene
        .ana
        .run_command(&scene.channel, "/usage", json!({}))
        .await;
    let all = all.wait_for_answer_containing("The last").await.text();
    // 5,049 × 0.001 + 0.0001
    assert!(all.contains("about 5.0491"), "{all}");
    assert_eq!(all.lines().count(), 21);
}

pub(super) fn as_millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("short")
}
