//! Packets that are lost, by what happens in the call: what people sent against what the bot says
//! it has heard.

use std::time::Duration;

use sandbox::Person;

use super::Outcome;
use super::material::talk;
use super::scene::{Account, Lounge, name, says};

/// Packets that are said: 10 s.
const SAID: usize = 500;

/// How often somebody comes and goes while another one speaks.
const COMINGS: usize = 10;

/// How long what Discord's voice server tells is under way to the bot, where it is: packets come
/// at once, so that they overtake it.
const LAG: Duration = Duration::from_millis(50);

/// After the last packet, until all is written down.
const REST: Duration = Duration::from_millis(1_500);

pub(crate) async fn loss() -> Outcome<()> {
    println!("loss: packets sent that the bot has not heard");
    known().await?;
    for lag in [Duration::ZERO, LAG] {
        println!("  what the voice server says comes {lag:?} late:");
        at_once(lag).await?;
        talking_already(lag).await?;
        comings_and_goings(lag).await?;
    }
    for away in [500, 2_000, 7_500] {
        returning(Duration::from_millis(away)).await?;
    }
    closed().await?;
    Ok(())
}

fn print(what: &str, sent: usize, account: &Account, deaf: Duration) {
    let lost = sent.saturating_sub(account.packets());
    println!(
        "  {what:<62} {lost:>4} of {sent:>4} ({:4.1} %); told: {:.2} s lost, {:.2} s nobody heard",
        100.0 * lost as f64 / sent.max(1) as f64,
        account.lost.as_secs_f64(),
        deaf.as_secs_f64()
    );
}

/// Everybody is there and known.
async fn known() -> Outcome<()> {
    let mut lounge = Lounge::new(3, &[]).await?;
    lounge.join(0..3).await;
    lounge.begins().await;
    let speeches: Vec<_> = (0..3)
        .map(|it| Ok(lounge.people[it].begins_to_speak_packets(talk(it, SAID)?)))
        .collect::<Outcome<_>>()?;
    for speech in speeches {
        speech.ends().await;
    }
    tokio::time::sleep(REST).await;
    let sent: Vec<usize> = lounge.people.iter().map(Person::packets_sent).collect();
    let remains = lounge.ends().await?;
    let accounts: Vec<Account> = (0..3).map(|it| remains.of(&name(it))).collect();
    let all = Account {
        heard: accounts.iter().map(|it| it.heard).sum(),
        lost: accounts.iter().map(|it| it.lost).sum(),
        ..Account::default()
    };
    print(
        "three known people at once",
        sent.iter().sum(),
        &all,
        remains.deaf(),
    );
    Ok(())
}

/// People speak in the very moment in which the bot is in the call.
async fn at_once(lag: Duration) -> Outcome<()> {
    let mut lounge = Lounge::new(2, &[]).await?;
    lounge.join(0..2).await;
    lounge.discord.lags_voice(lag);
    lounge.bot_comes().await;
    tokio::join!(
        says(&lounge.people[0], talk(0, SAID)?),
        says(&lounge.people[1], talk(1, SAID)?),
    );
    tokio::time::sleep(REST).await;
    let sent = lounge.people[1].packets_sent();
    let remains = lounge.ends().await?;
    print(
        "somebody speaks at once after the bot has come",
        sent,
        &remains.of("Ben"),
        remains.deaf(),
    );
    Ok(())
}

/// People are talking when the bot comes. Counted are the packets that Discord sent to the bot.
async fn talking_already(lag: Duration) -> Outcome<()> {
    let mut lounge = Lounge::new(2, &[]).await?;
    lounge.join(0..2).await;
    lounge.discord.lags_voice(lag);
    let speech = lounge.people[1].begins_to_speak_packets(talk(1, 2 * SAID)?);
    tokio::time::sleep(Duration::from_secs(2)).await;
    lounge.bot_comes().await;
    speech.ends().await;
    tokio::time::sleep(REST).await;
    let sent = lounge.discord.forwarded_to_bot(&lounge.people[1]);
    let remains = lounge.ends().await?;
    print(
        "somebody is talking when the bot comes (of those sent to it)",
        sent,
        &remains.of("Ben"),
        remains.deaf(),
    );
    Ok(())
}

/// Others come and go while Ben speaks.
async fn comings_and_goings(lag: Duration) -> Outcome<()> {
    let mut lounge = Lounge::new(2 + COMINGS, &[]).await?;
    lounge.join(0..2).await;
    lounge.discord.lags_voice(lag);
    lounge.begins().await;
    let before = lounge.people[1].packets_sent();
    let speech = lounge.people[1].begins_to_speak_packets(talk(1, 2 * SAID)?);
    for person in &lounge.people[2..] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        person.joins_voice(&lounge.lounge).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        person.leaves_voice().await;
    }
    speech.ends().await;
    tokio::time::sleep(REST).await;
    let sent = lounge.people[1].packets_sent() - before;
    let remains = lounge.ends().await?;
    print(
        "ten others come and go while somebody speaks",
        sent,
        &remains.of("Ben"),
        remains.deaf(),
    );
    Ok(())
}

/// Ben leaves, comes back, and speaks at once, while Ana speaks all the time.
async fn returning(away: Duration) -> Outcome<()> {
    let mut lounge = Lounge::new(2, &[]).await?;
    lounge.join(0..2).await;
    lounge.begins().await;
    says(&lounge.people[1], talk(2, 50)?).await;
    tokio::time::sleep(REST).await;
    let before = lounge.people[1].packets_sent();
    let length = away.as_millis() / 20;
    let speech = lounge
        .ana()
        .begins_to_speak_packets(talk(0, SAID + 150 + usize::try_from(length)?)?);
    tokio::time::sleep(Duration::from_secs(1)).await;
    lounge.people[1].leaves_voice().await;
    tokio::time::sleep(away).await;
    lounge.people[1].joins_voice(&lounge.lounge).await;
    says(&lounge.people[1], talk(1, SAID)?).await;
    speech.ends().await;
    tokio::time::sleep(REST).await;
    let (ana, ben) = (
        lounge.ana().packets_sent(),
        lounge.people[1].packets_sent() + before,
    );
    let remains = lounge.ends().await?;
    print(
        &format!("somebody comes back after {away:?} and speaks at once"),
        ben,
        &remains.of("Ben"),
        remains.deaf(),
    );
    print(
        "  another one who was speaking meanwhile",
        ana,
        &remains.of("Ana"),
        remains.deaf(),
    );
    Ok(())
}

/// Discord closes the voice connection because its session is no longer valid.
async fn closed() -> Outcome<()> {
    let mut lounge = Lounge::new(1, &[]).await?;
    lounge.join(0..1).await;
    lounge.begins().await;
    let speech = lounge.ana().begins_to_speak_packets(talk(0, 2 * SAID)?);
    // A connection that has just been made is not made anew at once.
    tokio::time::sleep(Duration::from_secs(12)).await;
    lounge.discord.closes_voice(4_006);
    speech.ends().await;
    tokio::time::sleep(REST).await;
    let sent = lounge.ana().packets_sent();
    let remains = lounge.ends().await?;
    print(
        "close code 4006 while somebody speaks",
        sent,
        &remains.of("Ana"),
        remains.deaf(),
    );
    Ok(())
}
