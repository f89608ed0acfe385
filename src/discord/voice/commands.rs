//! `/join`, `/leave`, `/session` and `/summary`.

use serenity::all::{CommandInteraction, GuildId};

use super::super::command::Command;
use super::super::intake::name_of;
use super::super::room::{Room, logged};
use super::super::settings::{is_language, list};
use super::super::text;
use super::super::wire::{Buttons, MAX_CHARS, Post};
use super::connection::NotJoined;
use super::driver::NotConnected;
use super::notice::NotTold;
use super::rights;
use super::sessions::{NotBegun, Wanted};
use crate::flow::server::{MAX_LANGUAGES, ServerSettings};
use crate::flow::session::call::Message;
use crate::flow::session::{Answers, Setup, ending};
use crate::store::StoreError;
use crate::words::{bot, voice as words};

/// What is shown to whoever asked, once it is known. None: it is no command of a voice session.
pub(in crate::discord) async fn answer(
    room: &Room,
    interaction: &CommandInteraction,
    command: &Command,
) -> Option<Post> {
    let of_a_session = matches!(
        command,
        Command::Join { .. } | Command::Leave | Command::Session | Command::Summary
    );
    let guild = match interaction.guild_id {
        _ if !of_a_session => return None,
        Some(guild) => guild,
        None => return Some(Post::text(bot::ONLY_IN_SERVERS)),
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
    let wire = &room.means.wire;
    let text = interaction.channel_id.get();
    let found = match rights::suitable(wire, &room.sessions.presence, guild, voice).await {
        Ok(found) => {
            match rights::may_write(wire, guild, text, interaction.app_permissions).await {
                Ok(()) => found,
                Err(sentence) => return Ok(Post::text(sentence)),
            }
        }
        Err(sentence) => return Ok(Post::text(sentence)),
    };
    let settings = ServerSettings::of(&room.means.store, Some(guild.get())).await?;
    let setup = Setup {
        answers: answers.unwrap_or(settings.voice_answers),
        title: found.name.clone(),
        languages,
    };
    let nickname = interaction
        .member
        .as_ref()
        .and_then(|it| it.nick.as_deref());
    let wanted = Wanted {
        guild: guild.get(),
        voice,
        text,
        asked_by: user.id.get(),
        name: name_of(user, nickname),
        setup,
    };
    // The session's notice says more than the line under a server's first reply.
    room.means.store.claim_notice(guild.get()).await?;
    match room.sessions.begin(wanted).await {
        Ok(()) => Ok(Post::text(words::begun(voice))),
        Err(NotBegun::Store(error)) => Err(error),
        Err(error) => {
            tracing::warn!(
                guild = guild.get(),
                voice,
                error = &error as &dyn std::error::Error,
                "no session"
            );
            Ok(Post::text(why_not(&error)))
        }
    }
}

fn why_not(error: &NotBegun) -> String {
    match error {
        NotBegun::Running(channel) => words::already(*channel),
        NotBegun::Ending => words::STILL_ENDING.to_owned(),
        NotBegun::NotJoined(NotJoined::NotLetIn) => words::NOT_LET_IN.to_owned(),
        NotBegun::NotTold(NotTold::NotPosted(_)) => words::NO_NOTICE.to_owned(),
        NotBegun::NotTold(NotTold::Ended) | NotBegun::NotJoined(NotJoined::Ended) => {
            words::LEFT.to_owned()
        }
        NotBegun::NotJoined(NotJoined::NoGateway) | NotBegun::Closing => {
            words::NO_GATEWAY.to_owned()
        }
        NotBegun::NotJoined(NotJoined::NotConnected(NotConnected::Refused(code))) => {
            words::refused(*code)
        }
        NotBegun::NotJoined(NotJoined::NotConnected(_) | NotJoined::NoDriver(_))
        | NotBegun::Thread(_) => words::NO_VOICE_SERVER.to_owned(),
        NotBegun::Store(_) | NotBegun::NotTold(NotTold::Store(_)) => bot::LEDGER.to_owned(),
    }
}

async fn leave(room: &Room, guild: u64) -> String {
    if room.sessions.leave(guild).await {
        words::LEFT.to_owned()
    } else {
        words::NO_SESSION.to_owned()
    }
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
