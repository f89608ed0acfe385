//! Every paid call is judged before, and booked after, whatever becomes of it.

use std::time::Duration;

use bytes::Bytes;
use sandbox::{DiscordEndpoint, Endpoint, Fault, Gate, OpenAiEndpoint, Recorded, Server};
use serde_json::json;
use talkback::store::{Account, Booking, Scope, SessionId, Stage, Store, Timestamp, Used};

use super::running::{Bot, Scene, question};

const SEND_MESSAGES: u64 = 1 << 11;

const SPENT: &str = "You have used up what a day allows. Try again after midnight UTC.";

/// An hour costs 0.36, a second 0.0001. A million tokens cost 1 either way.
pub(super) const PRICES: [(&str, &str); 4] = [
    ("PRICE_SPEECH_HOUR", "0.36"),
    ("PRICE_STREAMING_HOUR", "0.36"),
    ("PRICE_INPUT_MILLION", "1"),
    ("PRICE_OUTPUT_MILLION", "1"),
];

/// What the ledger says was used, once the bot has ended as it should.
pub(super) async fn booked(mut bot: Bot, scene: &Scene) -> Used {
    bot.terminate();
    assert_eq!(bot.ends().await, Some(0), "{}", bot.log());
    let (store, _) = Store::open(&scene.data(), None).await.expect("the ledger");
    let day = Timestamp::now().day();
    let used = store.used(day, Scope::Everyone).await.expect("read");
    let yesterday = store.used(day - 1, Scope::Everyone).await.expect("read");
    store.close().await;
    used.and(&yesterday)
}

/// How often somebody who is paid was given something.
fn paid_calls(scene: &Scene) -> usize {
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

async fn priced(more: &[(&str, &str)]) -> (Scene, Bot) {
    let mut scene = Scene::new().await;
    for (variable, value) in PRICES.iter().chain(more) {
        scene.set(variable, value);
    }
    let bot = scene.start().await;
    (scene, bot)
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_again_is_judged_like_a_new_request() {
    let (scene, mut bot) = priced(&[
        ("PRICE_OUTPUT_MILLION", "1000000"),
        ("DAILY_COST_PER_MEMBER", "0.1"),
        ("BUDGET_FALLBACK", "local"),
    ])
    .await;
    let typed = scene.ana.says(&scene.ana.direct(), "What is it?").await;
    let reply = scene.ana.sees_reply_to(&typed).await;
    reply.until_done().await;
    let paid = paid_calls(&scene);
    // Without models on this machine there is nobody to go on with.
    let pressed = scene.ana.presses(&reply, "Try again").await;
    if cfg!(feature = "local") {
        // Its engines are tried, and can't answer either without their models.
        bot.until_it_says_times("outcome=\"chat_failed\"", 1).await;
    } else {
        assert_eq!(pressed.answer().await.text(), SPENT);
    }
    assert_eq!(paid_calls(&scene), paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_again_counts_for_the_cooldown() {
    const COOLDOWN: Duration = Duration::from_secs(5);
    let (scene, _bot) = priced(&[("COOLDOWN_SECONDS", "5")]).await;
    let direct = scene.ana.direct();
    let typed = scene.ana.says(&direct, "What is it?").await;
    let reply = scene.ana.sees_reply_to(&typed).await;
    reply.until_done().await;
    let early = scene.ana.presses(&reply, "Try again").await;
    let early = early.answer().await.text();
    assert!(early.starts_with("That was quick."), "{early}");
    // It is the bot's clock that has to go on.
    tokio::time::sleep(COOLDOWN).await;
    let asked = |requests: &[Recorded]| {
        let asked = |it: &&Recorded| it.path.ends_with("/chat/completions");
        requests.iter().filter(asked).count()
    };
    let before = asked(&scene.sandbox.openai().requests());
    let pressed = scene.ana.presses(&reply, "Try again").await;
    pressed.until_acknowledged().await;
    // It is accepted after it is acknowledged.
    let llm = scene.sandbox.openai();
    llm.wait_until(|requests| asked(requests) > before).await;
    let next = scene.ana.says(&direct, "And now?").await;
    let next = scene.ana.sees_reply_to(&next).await.text();
    assert!(next.starts_with("That was quick."), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_judged_by_how_long_they_play_whatever_was_announced() {
    let (scene, bot) = priced(&[("DAILY_COST_PER_MEMBER", "0.0002")]).await;
    let direct = scene.ana.direct();
    // It plays for three seconds, which nobody says of a file.
    let file = scene
        .ana
        .sends_files(&direct, "", &[("a.ogg", question())])
        .await;
    assert_eq!(
        scene.ana.sees_reply_to(&file).await.until_done().await,
        SPENT
    );
    let note = scene
        .ana
        .sends_voice_note_lasting(&direct, question(), 0.1)
        .await;
    assert_eq!(
        scene.ana.sees_reply_to(&note).await.until_done().await,
        SPENT
    );
    assert_eq!(paid_calls(&scene), 0);
    assert_eq!(booked(bot, &scene).await, Used::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_recordings_of_a_message_are_judged_one_by_one() {
    let (scene, bot) = priced(&[("DAILY_COST_PER_MEMBER", "0.0005")]).await;
    let files = [("a.ogg", question()), ("b.ogg", question())];
    let note = scene.ana.sends_files(&scene.ana.direct(), "", &files).await;
    let reply = scene.ana.sees_reply_to(&note).await.until_done().await;
    assert!(reply.ends_with(SPENT), "{reply}");
    assert_eq!(paid_calls(&scene), 1);
    let length = scene.sandbox.assemblyai().billed();
    assert_eq!(booked(bot, &scene).await.audio_ms, millis(length));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_deleted_while_it_grows_is_booked() {
    let (scene, bot) = priced(&[]).await;
    let llm = scene.sandbox.openai();
    let gate = Gate::new();
    llm.says(&"Long words of a long answer, ".repeat(20));
    llm.fault(OpenAiEndpoint::Chat, Fault::gate_after_pieces(&gate, 60));
    let typed = scene.ana.says(&scene.ana.direct(), "What is it?").await;
    let reply = scene.ana.sees_reply_with(&typed, "Long words").await;
    gate.reached().await;
    typed.delete();
    reply.until_deleted().await;
    gate.open();
    let (prompt, whole) = llm.billed();
    let used = booked(bot, &scene).await;
    // By an estimate, since nobody was left to hear what it cost.
    assert!(used.tokens_in >= prompt / 2, "{used:?} {prompt}");
    assert!(used.tokens_out > whole / 4, "{used:?} {whole}");
    assert_eq!(used.micros, used.tokens_in + used.tokens_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn recordings_in_which_nothing_is_understood_are_booked() {
    let (scene, bot) = priced(&[]).await;
    scene.sandbox.assemblyai().hears("");
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    scene.ana.sees_reply_to(&note).await.until_done().await;
    let billed = scene.sandbox.assemblyai().billed();
    let used = booked(bot, &scene).await;
    assert!(used.micros > 0);
    assert_eq!(used.audio_ms, millis(billed));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_paid_for_what_cannot_be_shown() {
    let (scene, mut bot) = priced(&[]).await;
    scene.notes_on().await;
    // It may not write here.
    let quiet = scene.guild.channel("quiet");
    let on = json!({"on": true});
    let response = scene.ana.runs(&quiet, "/settings notes", on).await;
    response.answer().await;
    quiet.denies_bot(SEND_MESSAGES);
    scene.ana.sends_voice_note(&quiet, question()).await;
    bot.until_it_says("not delivered").await;
    // Somebody has blocked it.
    let blocked = Fault::status(403).code("50007").always();
    scene.discord.fault(DiscordEndpoint::CreateMessage, blocked);
    scene
        .ben
        .sends_voice_note(&scene.ben.direct(), question())
        .await;
    bot.until_it_says_times("not delivered", 2).await;
    scene.ben.says(&scene.ben.direct(), "Are you there?").await;
    bot.until_it_says_times("not delivered", 3).await;
    assert_eq!(paid_calls(&scene), 0);
    assert_eq!(booked(bot, &scene).await, Used::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_discord_is_waited_for_before_anybody_is_paid() {
    let (scene, mut bot) = priced(&[]).await;
    let gate = Gate::new();
    scene
        .discord
        .fault(DiscordEndpoint::CreateMessage, Fault::gate(&gate));
    let direct = scene.ana.direct();
    let note = scene.ana.sends_voice_note(&direct, question()).await;
    gate.reached().await;
    bot.until_it_says("decoded").await;
    // Meanwhile somebody else is served from first to last.
    let direct = scene.ben.direct();
    let other = scene.ben.sends_voice_note(&direct, question()).await;
    scene.ben.sees_reply_to(&other).await.until_done().await;
    assert_eq!(paid_calls(&scene), 2);
    gate.open();
    scene.ana.sees_reply_with(&note, "Paris.").await;
    assert_eq!(paid_calls(&scene), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_gone_ends_the_work() {
    let (scene, mut bot) = priced(&[]).await;
    scene.notes_on().await;
    let side = scene.guild.channel("side");
    let on = json!({"on": true});
    let response = scene.ana.runs(&side, "/settings notes", on).await;
    response.answer().await;
    let gate = Gate::new();
    let ears = scene.sandbox.assemblyai();
    ears.fault(Endpoint::Sync, Fault::gate(&gate).times(2));
    let in_channel = scene.ana.sends_voice_note(&side, question()).await;
    scene.ana.sees_reply_to(&in_channel).await;
    let in_server = scene.ben.sends_voice_note(&scene.channel, question()).await;
    scene.ben.sees_reply_to(&in_server).await;
    gate.reached_times(2).await;
    side.delete();
    bot.until_it_says("stopped with its place").await;
    scene.guild.removes_bot();
    bot.until_it_says_times("stopped with its place", 2).await;
    gate.open();
    let asked = scene.sandbox.openai().requests();
    assert!(asked.iter().all(|it| !it.path.ends_with("/completions")));
    let billed = ears.billed();
    assert_eq!(booked(bot, &scene).await.audio_ms, millis(billed));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_at_all_may_be_spent_where_the_cap_is_zero() {
    let (scene, bot) = priced(&[("DAILY_COST_PER_MEMBER", "0")]).await;
    let direct = scene.ana.direct();
    let typed = scene.ana.says(&direct, "What is it?").await;
    assert_eq!(scene.ana.sees_reply_to(&typed).await.text(), SPENT);
    let asked = json!({"question": "What is it?"});
    let response = scene.ana.runs(&scene.channel, "/ask", asked).await;
    assert_eq!(response.answer().await.text(), SPENT);
    assert_eq!(paid_calls(&scene), 0);
    assert_eq!(booked(bot, &scene).await, Used::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_reply_that_is_deleted_ends_the_work() {
    let (scene, mut bot) = priced(&[]).await;
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .fault(Endpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    let reply = scene.ana.sees_reply_to(&note).await;
    gate.reached().await;
    reply.delete();
    bot.until_it_says("the reply was deleted").await;
    gate.open();
    let asked = scene.sandbox.openai().requests();
    assert!(asked.iter().all(|it| !it.path.ends_with("/completions")));
    assert!(note.replies().iter().all(sandbox::Message::is_deleted));
    // The recording was with the provider by then.
    let billed = scene.sandbox.assemblyai().billed();
    assert_eq!(booked(bot, &scene).await.audio_ms, millis(billed));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_was_paying_for_is_booked() {
    let (mut scene, bot) = priced(&[("DAILY_MINUTES_PER_MEMBER", "1")]).await;
    let gate = Gate::new();
    scene
        .sandbox
        .assemblyai()
        .fault(Endpoint::Sync, Fault::gate(&gate));
    let note = scene
        .ana
        .sends_voice_note(&scene.ana.direct(), question())
        .await;
    gate.reached().await;
    bot.dies().await;
    gate.open();
    let bot = scene.start().await;
    scene
        .ana
        .sees_reply_with(&note, "Paris.")
        .await
        .until_done()
        .await;
    let billed = scene.sandbox.assemblyai().billed();
    let used = booked(bot, &scene).await;
    assert_eq!(used.audio_ms, millis(billed), "twice the same recording");
}

/// The rule itself: what the providers saw is what the ledger says, whatever became of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_providers_saw_is_what_is_booked() {
    let (scene, bot) = priced(&[("SPEECH_PROVIDERS", "sync,prerecorded")]).await;
    let (ears, llm) = (scene.sandbox.assemblyai(), scene.sandbox.openai());
    let direct = scene.ana.direct();
    let outcomes: [(&str, Option<Fault>, Option<Fault>); 9] = [
        ("all is well", None, None),
        (
            "refused and tried again",
            Some(Fault::status(503)),
            Some(Fault::status(503)),
        ),
        ("broken off and tried again", Some(Fault::reset()), None),
        ("the answer is lost on its way", Some(Fault::cut()), None),
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
            Some(Fault::cut_after_pieces(1)),
        ),
        (
            "the model says nothing of its use",
            None,
            Some(Fault::no_usage()),
        ),
    ];
    let mut exact = true;
    for (what, of_ears, of_llm) in outcomes {
        exact &= of_llm.is_none();
        if let Some(fault) = of_ears {
            ears.fault(Endpoint::Sync, fault);
        }
        if let Some(fault) = of_llm {
            llm.fault(OpenAiEndpoint::Chat, fault);
        }
        let note = scene.ana.sends_voice_note(&direct, question()).await;
        let told = scene.ana.sees_reply_to(&note).await.until_done().await;
        assert!(!told.is_empty(), "{what}");
        ears.clear_faults();
        llm.clear_faults();
    }
    let typed = scene.ana.says(&direct, "And typed?").await;
    scene.ana.sees_reply_to(&typed).await.until_done().await;
    let broken = Bytes::from_static(b"no sound");
    let file = scene
        .ana
        .sends_files(&direct, "", &[("a.ogg", broken)])
        .await;
    scene.ana.sees_reply_to(&file).await.until_done().await;

    let used = booked(bot, &scene).await;
    let (prompt, answer) = llm.billed();
    assert_eq!(used.audio_ms, millis(ears.billed()));
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
async fn usage_is_the_sum_of_all_there_is() {
    let (mut scene, bot) = priced(&[]).await;
    bot.dies().await;
    let (store, _) = Store::open(&scene.data(), None).await.expect("the ledger");
    let day = Timestamp::now().day();
    // More members than rows were read, each dearer than Ana.
    for member in 0..5_050 {
        let booking = Booking {
            call: None,
            account: Account::Session(SessionId(1)),
            stage: Stage::Speech,
            guild: Some(scene.guild.id()),
            author: if member == 0 { scene.ana.id() } else { member },
            day,
            used: Used {
                audio_ms: 60_000,
                micros: if member == 0 { 100 } else { 1_000 },
                ..Used::default()
            },
        };
        store.book(&booking).await.expect("booked");
    }
    store.close().await;
    let _bot = scene.start().await;
    let own = scene.ana.runs(&scene.channel, "/usage", json!({})).await;
    let own = own.answer_with("The last").await.text();
    assert!(own.contains(&format!("<@{}>", scene.ana.id())), "{own}");
    assert!(own.contains("about 0.0001"), "{own}");
    scene.ana.may_manage_server();
    let all = scene.ana.runs(&scene.channel, "/usage", json!({})).await;
    let all = all.answer_with("The last").await.text();
    // 5,049 × 0.001 + 0.0001
    assert!(all.contains("about 5.0491"), "{all}");
    assert_eq!(all.lines().count(), 21);
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).expect("short")
}
