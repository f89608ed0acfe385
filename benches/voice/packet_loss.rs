//! Lost packets, by what happens in the call: what users sent compared with what the bot's
//! transcript says it received.

use std::time::Duration;

use sandbox::TestUser;

use super::Outcome;
use super::scene::{BotScene, SpeakerTotals, person_name, say};
use super::speech_samples::continuous_speech;

/// 10 s of packets.
const PACKETS_SAID: usize = 500;

/// How often a user joins and leaves while another one speaks.
const JOIN_ROUNDS: usize = 10;

/// The delay of gateway messages to the bot. Packets are not delayed, so they overtake the
/// messages.
const GATEWAY_LAG: Duration = Duration::from_millis(50);

/// How long to wait after the last packet until everything is transcribed.
const SETTLE_TIME: Duration = Duration::from_millis(1_500);

pub(crate) async fn bench_packet_loss() -> Outcome<()> {
    println!("loss: packets sent that the bot did not receive");
    everybody_present().await?;
    for lag in [Duration::ZERO, GATEWAY_LAG] {
        println!("  gateway messages arrive {lag:?} late:");
        speak_on_arrival(lag).await?;
        already_talking(lag).await?;
        others_join_and_leave(lag).await?;
    }
    for away in [500, 2_000, 7_500] {
        speaker_returns(Duration::from_millis(away)).await?;
    }
    voice_session_closed().await?;
    Ok(())
}

fn print_row(what: &str, sent: usize, totals: &SpeakerTotals, interrupted: Duration) {
    let lost = sent.saturating_sub(totals.decoded_sample_packets());
    println!(
        "  {what:<62} {lost:>4} of {sent:>4} ({:4.1} %); reported: {:.2} s lost, {:.2} s interrupted",
        100.0 * lost as f64 / sent.max(1) as f64,
        totals.lost.as_secs_f64(),
        interrupted.as_secs_f64()
    );
}

/// Three users are in the call before the session starts.
async fn everybody_present() -> Outcome<()> {
    let mut scene = BotScene::new(3, &[]).await?;
    scene.join_voice(0..3).await;
    scene.start_session().await;
    let speeches: Vec<_> = (0..3)
        .map(|it| Ok(scene.people[it].start_speaking_packets(continuous_speech(it, PACKETS_SAID)?)))
        .collect::<Outcome<_>>()?;
    for speech in speeches {
        speech.wait_until_sent().await;
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let sent: Vec<usize> = scene.people.iter().map(TestUser::packets_sent).collect();
    let transcript = scene.end_session().await?;
    let totals: Vec<SpeakerTotals> = (0..3)
        .map(|it| transcript.speaker(&person_name(it)))
        .collect();
    let all = SpeakerTotals {
        decoded: totals.iter().map(|it| it.decoded).sum(),
        lost: totals.iter().map(|it| it.lost).sum(),
        ..SpeakerTotals::default()
    };
    print_row(
        "three users at once",
        sent.iter().sum(),
        &all,
        transcript.interrupted_time(),
    );
    Ok(())
}

/// Users begin to speak at the moment when the bot has joined.
async fn speak_on_arrival(lag: Duration) -> Outcome<()> {
    let mut scene = BotScene::new(2, &[]).await?;
    scene.join_voice(0..2).await;
    scene.discord.set_bot_voice_gateway_lag(lag);
    scene.summon_bot().await;
    tokio::join!(
        say(&scene.people[0], continuous_speech(0, PACKETS_SAID)?),
        say(&scene.people[1], continuous_speech(1, PACKETS_SAID)?),
    );
    tokio::time::sleep(SETTLE_TIME).await;
    let sent = scene.people[1].packets_sent();
    let transcript = scene.end_session().await?;
    print_row(
        "a user speaks right after the bot joined",
        sent,
        &transcript.speaker("Ben"),
        transcript.interrupted_time(),
    );
    Ok(())
}

/// A user is talking when the bot joins. Only packets that Discord sent to the bot are counted.
async fn already_talking(lag: Duration) -> Outcome<()> {
    let mut scene = BotScene::new(2, &[]).await?;
    scene.join_voice(0..2).await;
    scene.discord.set_bot_voice_gateway_lag(lag);
    let speech = scene.people[1].start_speaking_packets(continuous_speech(1, 2 * PACKETS_SAID)?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.summon_bot().await;
    speech.wait_until_sent().await;
    tokio::time::sleep(SETTLE_TIME).await;
    let sent = scene.discord.packets_forwarded_to_bot(&scene.people[1]);
    let transcript = scene.end_session().await?;
    print_row(
        "a user is talking when the bot joins (of those sent to it)",
        sent,
        &transcript.speaker("Ben"),
        transcript.interrupted_time(),
    );
    Ok(())
}

/// Others join and leave while Ben speaks.
async fn others_join_and_leave(lag: Duration) -> Outcome<()> {
    let mut scene = BotScene::new(2 + JOIN_ROUNDS, &[]).await?;
    scene.join_voice(0..2).await;
    scene.discord.set_bot_voice_gateway_lag(lag);
    scene.start_session().await;
    let before = scene.people[1].packets_sent();
    let speech = scene.people[1].start_speaking_packets(continuous_speech(1, 2 * PACKETS_SAID)?);
    for person in &scene.people[2..] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        person.join_voice(&scene.voice_channel).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        person.leave_voice().await;
    }
    speech.wait_until_sent().await;
    tokio::time::sleep(SETTLE_TIME).await;
    let sent = scene.people[1].packets_sent() - before;
    let transcript = scene.end_session().await?;
    print_row(
        "ten others join and leave while a user speaks",
        sent,
        &transcript.speaker("Ben"),
        transcript.interrupted_time(),
    );
    Ok(())
}

/// Ben leaves, comes back, and speaks at once, while Ana speaks all the time.
async fn speaker_returns(away: Duration) -> Outcome<()> {
    let mut scene = BotScene::new(2, &[]).await?;
    scene.join_voice(0..2).await;
    scene.start_session().await;
    say(&scene.people[1], continuous_speech(2, 50)?).await;
    tokio::time::sleep(SETTLE_TIME).await;
    let before = scene.people[1].packets_sent();
    let length = away.as_millis() / 20;
    let speech = scene.ana().start_speaking_packets(continuous_speech(
        0,
        PACKETS_SAID + 150 + usize::try_from(length)?,
    )?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.people[1].leave_voice().await;
    tokio::time::sleep(away).await;
    scene.people[1].join_voice(&scene.voice_channel).await;
    say(&scene.people[1], continuous_speech(1, PACKETS_SAID)?).await;
    speech.wait_until_sent().await;
    tokio::time::sleep(SETTLE_TIME).await;
    let (ana, ben) = (
        scene.ana().packets_sent(),
        scene.people[1].packets_sent() + before,
    );
    let transcript = scene.end_session().await?;
    print_row(
        &format!("a user rejoins after {away:?} and speaks at once"),
        ben,
        &transcript.speaker("Ben"),
        transcript.interrupted_time(),
    );
    print_row(
        "  another user who was speaking meanwhile",
        ana,
        &transcript.speaker("Ana"),
        transcript.interrupted_time(),
    );
    Ok(())
}

/// Discord closes the voice connection because its session is no longer valid.
async fn voice_session_closed() -> Outcome<()> {
    let mut scene = BotScene::new(1, &[]).await?;
    scene.join_voice(0..1).await;
    scene.start_session().await;
    let speech = scene
        .ana()
        .start_speaking_packets(continuous_speech(0, 2 * PACKETS_SAID)?);
    // Only a connection that was up for some time is replaced at once.
    tokio::time::sleep(Duration::from_secs(12)).await;
    scene.discord.close_bot_voice(4_006);
    speech.wait_until_sent().await;
    tokio::time::sleep(SETTLE_TIME).await;
    let sent = scene.ana().packets_sent();
    let transcript = scene.end_session().await?;
    print_row(
        "close code 4006 while a user speaks",
        sent,
        &transcript.speaker("Ana"),
        transcript.interrupted_time(),
    );
    Ok(())
}
