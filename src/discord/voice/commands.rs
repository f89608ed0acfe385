//! `/join`, `/leave`, `/session` and `/summary`.

use serenity::all::{Channel, ChannelType, CommandInteraction, GuildChannel, GuildId, Permissions};

use super::super::command::Command;
use super::super::intake::name_of;
use super::super::room::{Room, logged};
use super::super::settings::{is_language, list};
use super::super::text;
use super::super::trouble::Trouble;
use super::super::wire::{Buttons, MAX_CHARS, Post};
use super::connection::NotJoined;
use super::driver::NotConnected;
use super::sessions::{NotBegun, Wanted};
use crate::flow::server::{MAX_LANGUAGES, ServerSettings};
use crate::flow::session::call::Message;
use crate::flow::session::{Answers, Ending, Setup, ending};
use crate::store::StoreError;
use crate::words::{bot, voice as words};

/// What is shown to whoever asked, once it is known. None: it is no command of a voice session.
pub(in crate::discord) async fn answer(
    room: &Room,
    interaction: &CommandInteraction,
    command: &Command,
) -> Option<Post> {
    let Some(guild) = interaction.guild_id else {
        return Some(Post::text(bot::ONLY_IN_SERVERS));
    };
    let answer = match command {
        Command::Join {
            channel,
            answers,
            languages,
        } => {
            let choice = (*answers, languages.as_deref());
            join(room, interaction, guild, *channel, choice).await
        }
        Command::Leave => Ok(Post::text(leave(room, guild.get()).await)),
        Command::Session => Ok(session(room, guild.get()).await),
        Command::Summary => summary(room, guild.get(), interaction.user.id.get())
            .await
            .map(Post::text),
        _ => return None,
    };
    Some(answer.unwrap_or_else(|error| {
        logged(error);
        Post::text(bot::LEDGER)
    }))
}

async fn join(
    room: &Room,
    interaction: &CommandInteraction,
    guild: GuildId,
    channel: Option<u64>,
    (answers, languages): (Option<Answers>, Option<&str>),
) -> Result<Post, StoreError> {
    let user = &interaction.user;
    let seat = room.sessions.presence.of(guild.get(), user.id.get());
    let Some(voice) = channel.or(seat.map(|seat| seat.channel)) else {
        return Ok(Post::text(words::NOT_IN_VOICE));
    };
    let languages = list(languages.map(str::to_lowercase).as_deref());
    if let Some(wrong) = languages.iter().find(|code| !is_language(code)) {
        return Ok(Post::text(bot::not_a_language(&text::escape(wrong))));
    }
    if languages.len() > MAX_LANGUAGES {
        return Ok(Post::text(bot::too_many("languages", MAX_LANGUAGES)));
    }
    if let Some(running) = room.sessions.of(guild.get()) {
        return Ok(Post::text(match running.is_ending() {
            true => words::STILL_ENDING.to_owned(),
            false => words::already(Some(running.voice())),
        }));
    }
    let found = match suitable(room, interaction, guild, voice).await {
        Ok(found) => found,
        Err(sentence) => return Ok(Post::text(sentence)),
    };
    let settings = ServerSettings::of(&room.means.store, Some(guild.get())).await?;
    let setup = Setup {
        answers: answers.unwrap_or(settings.voice_answers),
        title: found.name.clone(),
        languages,
    };
    let wanted = Wanted {
        guild: guild.get(),
        voice,
        text: interaction.channel_id.get(),
        asked_by: user.id.get(),
        setup: setup.clone(),
    };
    // The notice below says more than the line under a server's first reply.
    room.means.store.claim_notice(guild.get()).await?;
    let running = match room.sessions.begin(wanted).await {
        Ok(running) => running,
        Err(NotBegun::Store(error)) => return Err(error),
        Err(error) => {
            tracing::warn!(
                guild = guild.get(),
                voice,
                error = &error as &dyn std::error::Error,
                "no session"
            );
            return Ok(Post::text(why_not(&error)));
        }
    };
    let nickname = interaction
        .member
        .as_ref()
        .and_then(|it| it.nick.as_deref());
    let notice = words::notice(
        &text::escape(&name_of(user, nickname)),
        voice,
        settings.voice_consent,
        setup.answers,
        &room.means.practice,
    );
    running
        .announce(&Post {
            content: notice,
            buttons: Some(Buttons::Consent),
            ..Post::default()
        })
        .await;
    Ok(Post::text(words::begun(voice)))
}

/// The channel, if a session can be held in it. Else why not.
async fn suitable(
    room: &Room,
    interaction: &CommandInteraction,
    guild: GuildId,
    voice: u64,
) -> Result<GuildChannel, String> {
    let wire = &room.means.wire;
    let channel = match wire.channel(voice).await {
        Ok(Channel::Guild(channel)) if channel.guild_id == guild => channel,
        Ok(_) | Err(Trouble::Gone(_)) => return Err(words::NOT_IN_VOICE.to_owned()),
        Err(Trouble::Forbidden(_)) => return Err(words::MAY_NOT_CONNECT.to_owned()),
        Err(trouble) => {
            tracing::warn!(channel = voice, %trouble, "a voice channel can't be looked at");
            return Err(words::NO_GATEWAY.to_owned());
        }
    };
    match channel.kind {
        ChannelType::Voice => {}
        ChannelType::Stage => return Err(words::STAGE.to_owned()),
        _ => return Err(words::NOT_IN_VOICE.to_owned()),
    }
    let here = interaction.app_permissions.unwrap_or(Permissions::all());
    if !here.contains(Permissions::SEND_MESSAGES | Permissions::VIEW_CHANNEL)
        && !here.contains(Permissions::ADMINISTRATOR)
    {
        return Err(words::MAY_NOT_WRITE.to_owned());
    }
    if let Some(rights) = rights(room, guild, &channel).await {
        let needed = Permissions::VIEW_CHANNEL | Permissions::CONNECT;
        if !rights.contains(needed) {
            return Err(words::MAY_NOT_CONNECT.to_owned());
        }
        let limit = channel.user_limit.unwrap_or(0);
        let taken = room.sessions.presence.count(guild.get(), voice);
        let full = limit > 0 && taken >= usize::try_from(limit).unwrap_or(usize::MAX);
        if full && !rights.contains(Permissions::MOVE_MEMBERS) {
            return Err(words::FULL.to_owned());
        }
    }
    Ok(channel)
}

/// What the bot may do in a channel, if that can be found out.
async fn rights(room: &Room, guild: GuildId, channel: &GuildChannel) -> Option<Permissions> {
    let wire = &room.means.wire;
    let server = wire.guild(guild).await.ok()?;
    let me = wire.member(guild, wire.me).await.ok()?;
    Some(server.user_permissions_in(channel, &me))
}

fn why_not(error: &NotBegun) -> String {
    match error {
        NotBegun::Running(channel) => words::already(*channel),
        NotBegun::Ending => words::STILL_ENDING.to_owned(),
        NotBegun::NotJoined(NotJoined::NotLetIn) => words::NOT_LET_IN.to_owned(),
        NotBegun::NotJoined(NotJoined::NoGateway) | NotBegun::Closing => {
            words::NO_GATEWAY.to_owned()
        }
        NotBegun::NotJoined(NotJoined::NotConnected(NotConnected::Refused(code))) => {
            words::refused(*code)
        }
        NotBegun::NotJoined(NotJoined::NotConnected(_) | NotJoined::NoDriver(_))
        | NotBegun::Thread(_) => words::NO_VOICE_SERVER.to_owned(),
        NotBegun::Store(_) => bot::LEDGER.to_owned(),
    }
}

async fn leave(room: &Room, guild: u64) -> String {
    let Some(running) = room.sessions.of(guild) else {
        return words::NO_SESSION.to_owned();
    };
    running.end(Ending::Asked).await;
    words::LEFT.to_owned()
}

async fn session(room: &Room, guild: u64) -> Post {
    let asked = match room.sessions.of(guild) {
        Some(running) => running.ask(Message::Report).await,
        None => None,
    };
    let Some((report, cost)) = asked else {
        return Post::text(words::NO_SESSION);
    };
    let prices = &room.desk.workshop().admission.rules().prices;
    let report = format!(
        "{}\n{}",
        words::so_far(&cost, prices),
        words::report(&report)
    );
    let report: String = report.chars().take(MAX_CHARS).collect();
    Post {
        content: report,
        buttons: Some(Buttons::Hearing),
        ..Post::default()
    }
}

async fn summary(room: &Room, guild: u64, author: u64) -> Result<String, StoreError> {
    let Some(session) = room.means.store.session_of(guild).await? else {
        return Ok(words::NO_SESSION.to_owned());
    };
    let setup: Result<Setup, _> = serde_json::from_str(&session.of.payload);
    if setup.is_ok_and(|setup| setup.answers == Answers::Never) {
        return Ok(words::NO_SUMMARY_HERE.to_owned());
    }
    let sessions = &room.sessions;
    let made = ending::so_far(sessions.desk(), &session, author, sessions.bot()).await?;
    let Some(summary) = made else {
        return Ok(words::NOTHING_SAID.to_owned());
    };
    let summary = text::answer(&words::summary(summary.as_ref()));
    Ok(summary.chars().take(MAX_CHARS).collect())
}
