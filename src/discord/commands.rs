//! What is done about a command. All that people see of it is private, but for orders that are
//! not.

use std::time::Duration;

use serenity::all::{
    AuthorizingIntegrationOwner, CommandInteraction, InteractionContext, Message, Timestamp,
};

use super::command::Command;
use super::responder::Responder;
use super::room::{Room, logged};
use super::servers::{self, Member};
use super::trouble::Trouble;
use super::wire::{MAX_CHARS, Post};
use super::{intake, settings, voice};
use crate::flow::access::Standing;
use crate::flow::desk::{Carried, Refused, Request};
use crate::flow::memory::Conversation;
use crate::flow::order::{Attachment, Borrowed, Order, Via, Wish};
use crate::flow::server::ServerSettings;
use crate::store::{StoreError, Used};
use crate::words::bot as words;

/// The longest time a look at a server's settings may take before a command is answered without
/// them: Discord waits for three seconds.
const SETTINGS_LIMIT: Duration = Duration::from_millis(1_000);

/// The lines that `/usage` shows.
const MAX_LINES: u32 = 20;

/// An order by command, not yet complete.
struct Wanted {
    wish: Wish,
    recordings: Vec<Attachment>,
    question: Option<String>,
    private: Option<bool>,
    /// The message it is about.
    about: Option<u64>,
    /// What of it stands in somebody's message.
    borrowed: Option<Borrowed>,
}

/// Answers a command.
pub(super) async fn answer(room: &Room, interaction: &CommandInteraction) {
    let Some(command) = Command::read(interaction) else {
        return say(room, interaction, words::UNKNOWN_COMMAND).await;
    };
    let wanted = match command {
        Command::Ask {
            question,
            audio,
            private,
        } => Wanted {
            wish: Wish::Answer,
            recordings: audio.into_iter().collect(),
            question,
            private,
            about: None,
            borrowed: None,
        },
        Command::Transcribe {
            audio,
            format,
            private,
        } => Wanted {
            wish: Wish::Transcript(format),
            recordings: vec![audio],
            question: None,
            private,
            about: None,
            borrowed: None,
        },
        Command::TranscribeMessage(message) => {
            let message = whole(room, *message).await;
            Wanted {
                wish: Wish::Transcript(crate::speech::subtitles::Format::Text),
                recordings: intake::recordings(&message),
                question: None,
                private: Some(true),
                about: None,
                borrowed: Some(intake::borrowed(&message, None)),
            }
        }
        Command::AnswerMessage(message) => {
            let mut message = whole(room, *message).await;
            // What a menu is opened on does not say where it is.
            message.guild_id = interaction.guild_id;
            let me = room.me_in(&message).await;
            Wanted {
                wish: Wish::Answer,
                recordings: intake::recordings(&message),
                question: None,
                borrowed: Some(intake::borrowed(&message, intake::typed(&message, &me))),
                private: None,
                about: intake::parent(&message).map(serenity::all::MessageId::get),
            }
        }
        Command::Help => {
            let notes = notes_here(room, interaction).await;
            return say(room, interaction, &words::help(notes)).await;
        }
        Command::Privacy => {
            return say(room, interaction, &words::privacy(&room.means.practice)).await;
        }
        slow => return look_up(room, interaction, slow).await,
    };
    order(room, interaction, wanted).await;
}

/// A message that somebody points at. If it forwards something, and what that is was left out, it is
/// read again.
async fn whole(room: &Room, message: Message) -> Message {
    if !intake::is_forward(&message) || !message.message_snapshots.is_empty() {
        return message;
    }
    let (channel, id) = (message.channel_id.get(), message.id.get());
    let read = room.means.wire.message(channel, id);
    match tokio::time::timeout(SETTINGS_LIMIT, read).await {
        Ok(Ok(whole)) => whole,
        Ok(Err(trouble)) => {
            tracing::debug!(channel, message = id, %trouble, "what is forwarded can't be read");
            message
        }
        Err(_) => message,
    }
}

/// Takes an order. The response is deferred while it is judged and written down, so that neither
/// waits for the other.
async fn order(room: &Room, interaction: &CommandInteraction, wanted: Wanted) {
    let known = settings_of(room, interaction).await;
    let standing = standing(room, interaction).await;
    if let Some(settings) = &known
        && standing.clear(settings).is_none()
    {
        return say(room, interaction, words::NO_ACCESS).await;
    }
    let written = wanted.borrowed.as_ref().and_then(|it| it.text.as_ref());
    let typed = wanted.question.as_ref().or(written);
    if wanted.recordings.is_empty() && typed.is_none() {
        let sentence = match wanted.wish {
            Wish::Answer => words::NOTHING_ASKED,
            Wish::Transcript(_) => words::NOTHING_TO_HEAR,
        };
        return say(room, interaction, sentence).await;
    }
    // As long as nobody knows, it is private, which can do no harm.
    let private = known.as_ref().is_none_or(|settings| settings.private);
    let private = wanted.private.unwrap_or(private);
    let consents = &room.desk.workshop().consents;
    let stamp = consents.stamp(interaction.user.id.get());
    let guild = interaction.guild_id.map(serenity::all::GuildId::get);
    let channel = interaction.channel_id.get();
    let accept = async {
        let settings = match known {
            Some(settings) => settings,
            None => ServerSettings::of(&room.means.store, guild).await?,
        };
        let Some(cleared) = standing.clear(&settings) else {
            return Err(Refused::NoAccess);
        };
        let conversation = match wanted.about {
            Some(parent) => Conversation::RepliesTo(room.first_of(parent).await?),
            None => room.conversation_in(guild, channel).await?,
        };
        let nickname = interaction
            .member
            .as_ref()
            .and_then(|member| member.nick.as_deref());
        let order = Order {
            wish: wanted.wish,
            name: intake::name_of(&interaction.user, nickname),
            recordings: wanted.recordings,
            question: wanted.question,
            conversation,
            via: Via::Command {
                token: interaction.token.clone(),
                private,
                alone: is_alone(interaction),
                pressed: None,
            },
            borrowed: wanted.borrowed,
        };
        let request = Request {
            source: interaction.id.get(),
            guild,
            channel,
            author: interaction.user.id.get(),
            order,
            cleared,
            carried: Carried::default(),
        };
        // The response has to be there before it can be edited.
        Ok(request)
    };
    let (deferred, request) = tokio::join!(defer(room, interaction, private), accept);
    if let Err(trouble) = deferred {
        // The answer goes to the channel then.
        tracing::warn!(source = interaction.id.get(), %trouble, "not deferred");
    }
    let refused = match request {
        Ok(request) => match room.desk.take(stamp.on(request)).await {
            Ok(_) => return,
            Err(Refused::Store(error)) => logged(error),
            Err(refused) => refused,
        },
        Err(Refused::Store(error)) => logged(error),
        Err(refused) => refused,
    };
    edit(room, interaction, &short(&words::refused(&refused))).await;
}

/// Commands that need the ledger, or a call. They are deferred, since both can be slow.
async fn look_up(room: &Room, interaction: &CommandInteraction, command: Command) {
    let restricted = matches!(
        command,
        Command::Join { .. } | Command::Leave | Command::Session | Command::Summary
    );
    if restricted {
        let standing = standing(room, interaction).await;
        let sentence = match settings_of(room, interaction).await {
            None => Some(words::LEDGER),
            Some(settings) => match standing.clear(&settings) {
                None => Some(words::NO_ACCESS),
                Some(_) => None,
            },
        };
        if let Some(sentence) = sentence {
            return say(room, interaction, sentence).await;
        }
    }
    if let Err(trouble) = defer(room, interaction, true).await {
        tracing::warn!(source = interaction.id.get(), %trouble, "not deferred");
        // Who waits in vain asks again; what ends something is done at once. Where nobody knows
        // whether Discord has it, the answer will show.
        let ends = matches!(command, Command::ForgetMe | Command::Reset | Command::Leave);
        if !ends && !matches!(trouble, Trouble::Later(_)) {
            return;
        }
    }
    if let Some(post) = voice::answer(room, interaction, &command).await {
        return edit(room, interaction, &post).await;
    }
    let sentence = match find_out(room, interaction, command).await {
        Ok(sentence) => sentence,
        Err(error) => {
            logged(error);
            words::LEDGER.to_owned()
        }
    };
    edit(room, interaction, &short(&sentence)).await;
}

async fn find_out(
    room: &Room,
    interaction: &CommandInteraction,
    command: Command,
) -> Result<String, StoreError> {
    let store = &room.means.store;
    let author = interaction.user.id.get();
    let channel = interaction.channel_id.get();
    let guild = interaction.guild_id.map(serenity::all::GuildId::get);
    match command {
        Command::Reset => {
            let whole = match room.conversation_in(guild, channel).await? {
                Conversation::Thread(_) | Conversation::Call { .. } => true,
                Conversation::New | Conversation::RepliesTo(_) => guild.is_none(),
            };
            let only = (!whole).then_some(author);
            room.desk.until_done_in(channel, only).await;
            let turns = store.forget_channel(channel, only).await?;
            Ok(words::reset(turns, whole))
        }
        Command::ForgetMe => {
            let workshop = room.desk.workshop();
            let now = (workshop.clock)();
            // What is shown of what somebody asked about another one's words goes with either.
            let shown = store.borrowed_of(author).await.unwrap_or_default();
            let mut posts = Vec::new();
            for job in &shown {
                posts.push(store.posts(job.id).await.unwrap_or_default());
            }
            let forgotten = workshop.consents.forget(store, author, now).await;
            room.sessions.forgotten(author).await;
            room.proxies.forget(author);
            room.desk.stop_taken_back().await;
            for (job, posts) in shown.iter().zip(&posts) {
                let posts: Vec<u64> = posts.iter().filter_map(|post| post.message).collect();
                room.remove_shown(job, &posts).await;
            }
            tracing::info!(author, written = forgotten.is_ok(), "forgotten");
            Ok(match forgotten {
                Ok(forgotten) => {
                    let pieces = forgotten.turns + forgotten.lines;
                    words::forgotten(forgotten.jobs, pieces)
                }
                Err(error) => {
                    logged(error);
                    words::FORGOTTEN_UNWRITTEN.to_owned()
                }
            })
        }
        Command::Settings(change) => match guild {
            Some(guild) if manages(interaction) => {
                settings::change(room, guild, channel, change).await
            }
            Some(_) => Ok(words::ONLY_MANAGERS.to_owned()),
            None => Ok(words::ONLY_IN_SERVERS.to_owned()),
        },
        Command::Usage { days, member } => usage(room, interaction, guild, days, member).await,
        // Answered before.
        _ => Ok(words::UNKNOWN_COMMAND.to_owned()),
    }
}

/// Members see their own use, those who manage the server everybody's. In a direct message people
/// see what they used everywhere.
async fn usage(
    room: &Room,
    interaction: &CommandInteraction,
    guild: Option<u64>,
    days: i64,
    member: Option<u64>,
) -> Result<String, StoreError> {
    let only = if manages(interaction) {
        member
    } else {
        Some(interaction.user.id.get())
    };
    let workshop = room.desk.workshop();
    workshop.admission.write_now().await;
    let today = (workshop.clock)().day();
    let span = today - days + 1..=today;
    let prices = &workshop.admission.rules().prices;
    let store = &room.means.store;
    let own = interaction.user.id.get();
    let (sum, latest) = match guild {
        Some(guild) => (
            store.used_in_guild(guild, only, span.clone()).await?,
            store.used_by_member(guild, only, span, MAX_LINES).await?,
        ),
        None => {
            let used = store.used_by(own, span).await?;
            let sum = used
                .iter()
                .fold(Used::default(), |sum, (_, used)| sum.and(used));
            let latest = used.into_iter().map(|(day, used)| (day, own, used));
            (sum, latest.collect())
        }
    };
    let mut lines: Vec<String> = latest
        .iter()
        .take(MAX_LINES as usize)
        .map(|(day, who, used)| words::used(&date(*day), *who, used, prices))
        .collect();
    if lines.is_empty() {
        return Ok(words::nothing_used(days));
    }
    lines.insert(0, words::used_title(days, &sum, prices));
    Ok(lines.join("\n"))
}

/// `2026-11-24`
fn date(day: i64) -> String {
    Timestamp::from_unix_timestamp(day * 86_400).map_or_else(
        |_| day.to_string(),
        |at| at.to_string().chars().take(10).collect(),
    )
}

fn manages(interaction: &CommandInteraction) -> bool {
    let permissions = interaction.member.as_ref().and_then(|it| it.permissions);
    permissions.is_some_and(servers::manages)
}

/// Whether the bot is not in the place itself: a person brought it along.
fn is_alone(interaction: &CommandInteraction) -> bool {
    let added = interaction
        .authorizing_integration_owners
        .0
        .iter()
        .any(|owner| matches!(owner, AuthorizingIntegrationOwner::GuildInstall(_)));
    match interaction.context {
        Some(InteractionContext::BotDm) => false,
        Some(InteractionContext::PrivateChannel) => true,
        _ => interaction.guild_id.is_some() && !added,
    }
}

/// What whoever uses a command is in the server.
async fn standing(room: &Room, interaction: &CommandInteraction) -> Standing {
    let member = interaction.member.as_ref();
    let member = Member {
        user: interaction.user.id,
        roles: Some(member.map_or(&[], |member| member.roles.as_slice())),
        permissions: Some(member.and_then(|it| it.permissions).unwrap_or_default()),
    };
    let means = &room.means;
    let guild = interaction.guild_id;
    means.servers.standing(&means.wire, guild, member).await
}

/// The settings of the server; none if the ledger fails or is too slow for Discord's patience.
async fn settings_of(room: &Room, interaction: &CommandInteraction) -> Option<ServerSettings> {
    let guild = interaction.guild_id.map(serenity::all::GuildId::get);
    let look = ServerSettings::of(&room.means.store, guild);
    match tokio::time::timeout(SETTINGS_LIMIT, look).await {
        Ok(Ok(settings)) => Some(settings),
        Ok(Err(error)) => {
            logged(error);
            None
        }
        Err(_) => None,
    }
}

async fn notes_here(room: &Room, interaction: &CommandInteraction) -> bool {
    if interaction.guild_id.is_none() {
        return true;
    }
    let Some(settings) = settings_of(room, interaction).await else {
        return false;
    };
    let channel = interaction.channel_id.get();
    let place = room.channels.place(&room.means.wire, channel);
    let place = tokio::time::timeout(SETTINGS_LIMIT, place).await;
    let place = place.unwrap_or_default();
    room.reads_content() && intake::notes_on(&settings, channel, place)
}

/// Says that the answer comes later.
async fn defer(
    room: &Room,
    interaction: &CommandInteraction,
    private: bool,
) -> Result<(), Trouble> {
    let responder = Responder::of_command(&room.means.wire, interaction);
    responder.defer(private).await
}

/// Answers at once, privately.
async fn say(room: &Room, interaction: &CommandInteraction, sentence: &str) {
    let responder = Responder::of_command(&room.means.wire, interaction);
    responder.say(&Post::text(sentence)).await;
}

fn short(sentence: &str) -> Post {
    Post::text(sentence.chars().take(MAX_CHARS).collect::<String>())
}

/// Puts something in the place of the deferred response.
async fn edit(room: &Room, interaction: &CommandInteraction, post: &Post) {
    let responder = Responder::of_command(&room.means.wire, interaction);
    responder.finish(post).await;
}
