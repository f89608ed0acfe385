//! Packets that are lost, by what happens in the call: what people sent against what the bot says
//! it has heard.

use std::time::Duration;

use sandbox::TestUser;

use super::Outcome;
use super::scene::{SpeakerTotals, VoiceFixture, person_name, says};
use super::speech_samples::continuous_speech;

/// Packets that are said: 10 s.
const PACKETS_SAID: usize = 500;

/// How often somebody comes and goes while another one speaks.
const JOIN_ROUNDS: usize = 10;

/// How long what Discord's voice server tells is under way to the bot, where it is: packets come
/// at once, so that they overtake it.
const GATEWAY_LAG: Duration = Duration::from_millis(50);

/// After the last packet, until all is written down.
const SETTLE_TIME: Duration = Duration::from_millis(1_500);

pub(crate) async fn bench_packet_loss() -> Outcome<()> {
    println!("loss: packets sent that the bot has not heard");
    everybody_present().await?;
    for lag in [Duration::ZERO, GATEWAY_LAG] {
        println!("  what the voice server says comes {lag:?} late:");
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

fn print_row(what: &str, sent: usize, account: &SpeakerTotals, deaf: Duration) {
    let lost = sent.saturating_sub(account.decoded_sample_packets());
    println!(
        "  {what:<62} {lost:>4} of {sent:>4} ({:4.1} %); told: {:.2} s lost, {:.2} s nobody heard",
        100.0 * lost as f64 / sent.max(1) as f64,
        account.lost.as_secs_f64(),
        deaf.as_secs_f64()
    );
}

/// Everybody is there and known.
async fn everybody_present() -> Outcome<()> {
    let mut lounge = VoiceFixture::new(3, &[]).await?;
    lounge.join_voice(0..3).await;
    lounge.start_session().await;
    let speeches: Vec<_> = (0..3)
        .map(
            |it| Ok(lounge.people[it].start_speaking_packets(continuous_speech(it, PACKETS_SAID)?)),
        )
        .collect::<Outcome<_>>()?;
    for speech in speeches {
        speech.wait_until_sent().await;
    }
    tokio::time::sleep(SETTLE_TIME).await;
    let sent: Vec<usize> = lounge.people.iter().map(TestUser::packets_sent).collect();
    let remains = lounge.end_session().await?;
    let accounts: Vec<SpeakerTotals> = (0..3).map(|it| remains.speaker(&person_name(it))).collect();
    let all = SpeakerTotals {
        decoded: accounts.iter().map(|it| it.decoded).sum(),
        lost: accounts.iter().map(|it| it.lost).sum(),
        ..SpeakerTotals::default()
    };
    print_row(
        "three known people at once",
        sent.iter().sum(),
        &all,
        remains.interrupted_time(),
    );
    Ok(())
}

/// People speak in the very moment in which the bot is in the call.
async fn speak_on_arrival(lag: Duration) -> Outcome<()> {
    let mut lounge = VoiceFixture::new(2, &[]).await?;
    lounge.join_voice(0..2).await;
    lounge.discord.set_bot_voice_gateway_lag(lag);
    lounge.summon_bot().await;
    tokio::join!(
        says(&lounge.people[0], continuous_speech(0, PACKETS_SAID)?),
        says(&lounge.people[1], continuous_speech(1, PACKETS_SAID)?),
    );
    tokio::time::sleep(SETTLE_TIME).await;
    let sent = lounge.people[1].packets_sent();
    let remains = lounge.end_session().await?;
    print_row(
        "somebody speaks at once after the bot has come",
        sent,
        &remains.speaker("Ben"),
        remains.interrupted_time(),
    );
    Ok(())
}

/// People are talking when the bot comes. Counted are the packets that Discord sent to the bot.
async fn already_talking(lag: Duration) -> Outcome<()> {
    let mut lounge = VoiceFixture::new(2, &[]).await?;
    lounge.join_voice(0..2).await;
    lounge.discord.set_bot_voice_gateway_lag(lag);
    let speech = lounge.people[1].start_speaking_packets(continuous_speech(1, 2 * PACKETS_SAID)?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    lounge.summon_bot().await;
    speech.wait_until_sent().await;
    tokio::time::sleep(SETTLE_TIME).await;
    let sent = lounge.discord.packets_forwarded_to_bot(&lounge.people[1]);
    let remains = lounge.end_session().await?;
    print_row(
        "somebody is talking when the bot comes (of those sent to it)",
        sent,
        &remains.speaker("Ben"),
        remains.interrupted_time(),
    );
    Ok(())
}

/// Others come and go while Ben speaks.
async fn others_join_and_leave(lag: Duration) -> Outcome<()> {
    let mut lounge = VoiceFixture::new(2 + JOIN_ROUNDS, &[]).await?;
    lounge.join_voice(0..2).await;
    lounge.discord.set_bot_voice_gateway_lag(lag);
    lounge.start_session().await;
    let before = lounge.people[1].packets_sent();
    let speech = lounge.people[1].start_speaking_packets(continuous_speech(1, 2 * PACKETS_SAID)?);
    for person in &lounge.people[2..] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        person.join_voice(&lounge.lounge).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        person.leave_voice().await;
    }
    speech.wait_until_sent().await;
    tokio::time::sleep(SETTLE_TIME).await;
    let sent = lounge.people[1].packets_sent() - before;
    let remains = lounge.end_session().await?;
    print_row(
        "ten others come and go while somebody speaks",
        sent,
        &remains.speaker("Ben"),
        remains.interrupted_time(),
    );
    Ok(())
}

/// Ben leaves, comes back, and speaks at once, while Ana speaks all the time.
async fn speaker_returns(away: Duration) -> Outcome<()> {
    let mut lounge = VoiceFixture::new(2, &[]).await?;
    lounge.join_voice(0..2).await;
    lounge.start_session().await;
    says(&lounge.people[1], continuous_speech(2, 50)?).await;
    tokio::time::sleep(SETTLE_TIME).await;
    let before = lounge.people[1].packets_sent();
    let length = away.as_millis() / 20;
    let speech = lounge.ana().start_speaking_packets(continuous_speech(
        0,
        PACKETS_SAID + 150 + usize::try_from(length)?,
    )?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lounge.people[1].leave_voice().await;
    tokio::time::sleep(away).await;
    lounge.people[1].join_voice(&lounge.lounge).await;
    says(&lounge.people[1], continuous_speech(1, PACKETS_SAID)?).await;
    speech.wait_until_sent().await;
    tokio::time::sleep(SETTLE_TIME).await;
    let (ana, ben) = (
        lounge.ana().packets_sent(),
        lounge.people[1].packets_sent() + before,
    );
    let remains = lounge.end_session().await?;
    print_row(
        &format!("somebody comes back after {away:?} and speaks at once"),
        ben,
        &remains.speaker("Ben"),
        remains.interrupted_time(),
    );
    print_row(
        "  another one who was speaking meanwhile",
        ana,
        &remains.speaker("Ana"),
        remains.interrupted_time(),
    );
    Ok(())
}

/// Discord closes the voice connection because its session is no longer valid.
async fn voice_session_closed() -> Outcome<()> {
    let mut lounge = VoiceFixture::new(1, &[]).await?;
    lounge.join_voice(0..1).await;
    lounge.start_session().await;
    let speech = lounge
        .ana()
        .start_speaking_packets(continuous_speech(0, 2 * PACKETS_SAID)?);
    // A connection that has just been made is not made anew at once.
    tokio::time::sleep(Duration::from_secs(12)).await;
    lounge.discord.close_bot_voice(4_006);
    speech.wait_until_sent().await;
    tokio::time::sleep(SETTLE_TIME).await;
    let sent = lounge.ana().packets_sent();
    let remains = lounge.end_session().await?;
    print_row(
        "close code 4006 while somebody speaks",
        sent,
        &remains.speaker("Ana"),
        remains.interrupted_time(),
    );
    Ok(())
}
