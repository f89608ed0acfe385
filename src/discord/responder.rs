//! The answer to an interaction: acknowledged in time, and once.
//!
//! A callback whose response is lost may have been taken by Discord or not. Then it is sent again:
//! whoever is told that it was acknowledged before knows that it was. All commands and buttons
//! answer through this.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use serenity::all::{
    Builder, CommandInteraction, ComponentInteraction, CreateAllowedMentions,
    CreateInteractionResponse, CreateInteractionResponseFollowup, CreateInteractionResponseMessage,
    InteractionId, MessageFlags,
};
use tokio::time::Instant;

use super::ladder::{Ladder, Shape, Step, Way};
use super::parcel::{FIRST_WAIT, LONGEST_WAIT};
use super::snowflake::age;
use super::trouble::{Trouble, unreadable};
use super::wire::{Post, Wire, within};
use crate::words::bot as words;

/// How long Discord waits for the first response, less what a request takes.
const IN_TIME: Duration = Duration::from_millis(2_800);

/// How long one try of it may take before it is sent again.
const ONE_TRY: Duration = Duration::from_millis(900);

/// The wait before a try that failed at once is made again.
const AGAIN_AFTER: Duration = Duration::from_millis(150);

/// How long a sentence is tried to be put into a response.
const PATIENCE: Duration = Duration::from_secs(120);

/// What Discord knows of our response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Known {
    /// Nothing has been sent.
    Nothing,
    /// Something was sent, and nothing came back.
    Maybe,
    /// There is a response, or will be.
    Response,
    /// The button's message is the response; a sentence needs one of its own.
    Button,
    /// It waits no longer.
    Over,
}

/// Answers one interaction.
pub(super) struct Responder<'a> {
    wire: &'a Wire,
    id: InteractionId,
    token: &'a str,
    channel: u64,
    known: Mutex<Known>,
}

impl<'a> Responder<'a> {
    pub(super) fn of_command(wire: &'a Wire, interaction: &'a CommandInteraction) -> Self {
        let channel = interaction.channel_id.get();
        Self::new(wire, interaction.id, &interaction.token, channel)
    }

    pub(super) fn of_button(wire: &'a Wire, interaction: &'a ComponentInteraction) -> Self {
        let channel = interaction.channel_id.get();
        Self::new(wire, interaction.id, &interaction.token, channel)
    }

    fn new(wire: &'a Wire, id: InteractionId, token: &'a str, channel: u64) -> Self {
        Self {
            wire,
            id,
            token,
            channel,
            known: Mutex::new(Known::Nothing),
        }
    }

    /// Says that an answer comes. Without an error, or if only nobody knows whether Discord has
    /// it, the response can be edited.
    pub(super) async fn defer(&self, private: bool) -> Result<(), Trouble> {
        let message = CreateInteractionResponseMessage::new().ephemeral(private);
        let response = CreateInteractionResponse::Defer(message);
        self.call_back(&response, Known::Response).await
    }

    /// Says that a button has been pressed, and shows nothing.
    pub(super) async fn acknowledge(&self) -> Result<(), Trouble> {
        if self.known() == Known::Button {
            return Ok(());
        }
        let response = CreateInteractionResponse::Acknowledge;
        self.call_back(&response, Known::Button).await
    }

    /// Says something to whoever asked, only to them, however far the response is.
    pub(super) async fn say(&self, post: &Post) {
        if self.known() == Known::Nothing {
            let message = CreateInteractionResponseMessage::new()
                .content(&post.content)
                .components(post.components())
                .allowed_mentions(CreateAllowedMentions::new())
                .ephemeral(true);
            let response = CreateInteractionResponse::Message(message);
            match self.call_back(&response, Known::Response).await {
                Ok(()) => return,
                Err(trouble @ Trouble::TokenDead(_)) => return self.not_said(&trouble),
                // It is acknowledged, and nobody knows with what: it says this now. What was
                // refused is not acknowledged; that needs something simpler.
                Err(Trouble::Acknowledged | Trouble::Later(_)) => {}
                Err(trouble) => {
                    tracing::warn!(source = self.id.get(), %trouble, "a sentence is refused");
                    if let Err(trouble) = self.defer(true).await {
                        return self.not_said(&trouble);
                    }
                }
            }
        }
        self.finish(post).await;
    }

    /// Puts something in the place of a response that was deferred.
    pub(super) async fn finish(&self, post: &Post) {
        let deadline = Instant::now() + PATIENCE;
        let shape = Shape {
            files: !post.files.is_empty(),
            ..Shape::default()
        };
        let mut ladder = Ladder::new(Way::Response, shape);
        let mut wait = FIRST_WAIT;
        loop {
            let part = ladder.rung().part;
            let shown = post.as_far_as(part, self.channel, true, words::NO_FILES);
            let sent = match self.known() {
                Known::Button => self.follow_up(&shown).await,
                _ => {
                    let edited = self.wire.edit_response(self.token, &shown).await;
                    edited.map(|_| ())
                }
            };
            let Err(trouble) = sent else {
                return;
            };
            match ladder.down(&trouble) {
                Step::Wait if Instant::now() + wait < deadline => {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
                Step::Try(next) => {
                    tracing::warn!(source = self.id.get(), %trouble, ?next, "a response is refused");
                }
                Step::Wait | Step::Deleted | Step::Closed => return self.not_said(&trouble),
            }
        }
    }

    async fn follow_up(&self, post: &Post) -> Result<(), Trouble> {
        let message = CreateInteractionResponseFollowup::new()
            .content(&post.content)
            .components(post.components())
            .allowed_mentions(CreateAllowedMentions::new())
            .flags(MessageFlags::EPHEMERAL | MessageFlags::SUPPRESS_EMBEDS);
        let sent = message.execute(&*self.wire.http, (None, self.token));
        match within(sent).await {
            // It was sent, whatever is odd in what was told of it.
            Err(trouble) if trouble == unreadable() => Ok(()),
            sent => sent.map(|_| ()),
        }
    }

    /// Sends the first response until Discord says that it has one, or waits no longer.
    async fn call_back(
        &self,
        response: &CreateInteractionResponse,
        then: Known,
    ) -> Result<(), Trouble> {
        let deadline = Instant::now() + IN_TIME.saturating_sub(age(self.id.get()).min(IN_TIME / 2));
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let http = &*self.wire.http;
            let sent = response.clone().execute(http, (self.id, self.token));
            let trouble = match tokio::time::timeout(ONE_TRY.min(left), sent).await {
                Ok(Ok(())) => {
                    self.set(then);
                    return Ok(());
                }
                Ok(Err(error)) => Trouble::from(error),
                Err(_) => Trouble::Later("no answer in time".into()),
            };
            match &trouble {
                // By a try of ours whose response was lost. What is in it shows only later.
                Trouble::Acknowledged => {
                    self.set(then);
                    return match response {
                        CreateInteractionResponse::Message(_) => Err(trouble),
                        _ => Ok(()),
                    };
                }
                Trouble::Later(_) => {
                    // A button's own message is its response: it is not to be overwritten.
                    self.set(match then {
                        Known::Button => Known::Button,
                        _ => Known::Maybe,
                    });
                    if Instant::now() + AGAIN_AFTER >= deadline {
                        return Err(trouble);
                    }
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                Trouble::TokenDead(_) => {
                    self.set(Known::Over);
                    return Err(trouble);
                }
                _ => return Err(trouble),
            }
        }
    }

    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, known: Known) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Discord itself tells whoever waits that there is no answer.
    fn not_said(&self, trouble: &Trouble) {
        tracing::warn!(source = self.id.get(), %trouble, "a sentence was not delivered");
    }
}
