//! Creates each message of a reply exactly once, whatever fails in between.
//!
//! A message gets a row in the ledger before its request, and its id afterwards. If the response is
//! lost, the nonce keeps Discord from creating a second message for a few minutes; later, the
//! channel is searched for the message.

use super::super::api_error::ApiError;
use super::super::delivery_fallback::DeliveryMethod;
use super::super::discord_api::OutgoingMessage;
use super::cleanup::CleanupAction;
use super::{AttemptError, LATE_MESSAGE_BASE, ReplySender, SentMessages};
use crate::flow::frontend::DeliveryError;
use crate::flow::job_spec::ReplyTarget;
use crate::store::StoreError;
use crate::ui_text::bot as words;

/// Range of the base-36 suffix that fits after a nonce.
const NONCE_SUFFIX_MODULUS: u64 = 36 * 36 * 36;

impl ReplySender {
    /// Makes one attempt and records the result. `None` if the author was told in a direct message.
    pub(super) async fn attempt(
        &self,
        sent: &mut SentMessages,
        part: u32,
        method: DeliveryMethod,
        outgoing: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        if let (DeliveryMethod::EditResponse, ReplyTarget::Command { token, .. }) =
            (method, &self.reply_target)
        {
            let message = self.discord_api().edit_response(token, outgoing).await?;
            self.record_sent(sent, 0, message).await?;
            return Ok(Some(message));
        }
        let number = Self::ledger_number(sent, part);
        let late;
        let outgoing = if sent.token_expired && self.is_private() {
            late = OutgoingMessage::text(format!("<@{}> {}", self.author, words::TOO_LATE));
            &late
        } else {
            outgoing
        };
        let nonce = self.nonce(number);
        let known = sent.message_ids.iter().find(|(known, _)| *known == number);
        let known = known.and_then(|(_, message)| *message);
        let message = match (method, known) {
            (DeliveryMethod::DirectMessage, _) => {
                let api = self.discord_api();
                api.send_direct_message(self.author, self.channel, &nonce, outgoing)
                    .await?;
                self.clean_up_part(sent, part);
                return Ok(None);
            }
            (DeliveryMethod::EditMessage, Some(message)) => {
                self.discord_api()
                    .edit_message(self.channel, message, outgoing)
                    .await?
            }
            (_, Some(old)) => {
                // Replaces a message that can no longer be edited; the nonce differs for each
                // replaced message.
                let nonce = format!("{nonce}n{}", base36(old % NONCE_SUFFIX_MODULUS));
                let message = self
                    .create_message(sent, number, method, &nonce, outgoing)
                    .await?;
                self.spawn_cleanup(CleanupAction::DeleteMessage(old));
                message
            }
            (_, None) => match self.find_or_reserve(sent, number, outgoing).await? {
                Some(message) => {
                    self.record_sent(sent, number, message).await?;
                    self.discord_api()
                        .edit_message(self.channel, message, outgoing)
                        .await?
                }
                None => {
                    self.create_message(sent, number, method, &nonce, outgoing)
                        .await?
                }
            },
        };
        Ok(Some(message))
    }

    /// The message of this number if it may already exist. Otherwise records in the ledger that it
    /// is about to be sent.
    async fn find_or_reserve(
        &self,
        sent: &mut SentMessages,
        number: u32,
        outgoing: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        if !sent.message_ids.iter().any(|(known, _)| *known == number) {
            self.context
                .store
                .record_sending(self.job_id, number)
                .await?;
            sent.message_ids.push((number, None));
            return Ok(None);
        }
        if number == 0 && sent.first_unsent {
            sent.first_unsent = false;
            return Ok(None);
        }
        self.find_unconfirmed(sent, number, outgoing).await
    }

    async fn create_message(
        &self,
        sent: &mut SentMessages,
        number: u32,
        method: DeliveryMethod,
        nonce: &str,
        outgoing: &OutgoingMessage,
    ) -> Result<u64, AttemptError> {
        let reply_to = match method {
            DeliveryMethod::Reply => self.replied_to_message(sent, number),
            _ => None,
        };
        sent.unconfirmed = Some((number, outgoing.clone()));
        let api = self.discord_api();
        let result = match self.reply_target {
            ReplyTarget::Message => {
                api.send_reply(self.channel, reply_to, nonce, outgoing)
                    .await
            }
            // A private response can't be fetched, so `send_reply` would take it for deleted.
            _ => {
                api.create_message(self.channel, reply_to, nonce, outgoing)
                    .await
            }
        };
        if !matches!(result, Err(ApiError::Transient(_))) {
            sent.unconfirmed = None;
        }
        let message = result?;
        self.record_sent(sent, number, message).await?;
        // Only now is there something to replace the command's response with.
        if number == LATE_MESSAGE_BASE
            && let ReplyTarget::Command { token, .. } = &self.reply_target
        {
            self.delete_replaced_response(sent, token).await?;
        }
        Ok(message)
    }

    /// The nonce by which Discord recognizes a repeated request.
    fn nonce(&self, number: u32) -> String {
        let generation = self.generation % 1_000;
        format!("{}.{number}.{generation}", base36(self.source))
    }

    /// The message that this part replies to: the request itself, or the command's response.
    fn replied_to_message(&self, sent: &SentMessages, number: u32) -> Option<u64> {
        match (number, &self.reply_target) {
            (0, ReplyTarget::Message) => Some(self.source),
            (LATE_MESSAGE_BASE, ReplyTarget::Command { .. }) => sent
                .message_ids
                .iter()
                .find(|(part, _)| *part == 0)
                .and_then(|(_, message)| *message),
            _ => None,
        }
    }

    pub(super) async fn record_sent(
        &self,
        sent: &mut SentMessages,
        number: u32,
        message: u64,
    ) -> Result<(), StoreError> {
        match sent
            .message_ids
            .iter_mut()
            .find(|(known, _)| *known == number)
        {
            Some((_, Some(known))) if *known == message => return Ok(()),
            Some((_, slot)) => *slot = Some(message),
            None => sent.message_ids.push((number, Some(message))),
        }
        self.context
            .store
            .record_sent(self.job_id, number, message)
            .await
    }

    /// Looks for a message that this or an earlier process was about to send and that Discord may
    /// have created.
    async fn find_unconfirmed(
        &self,
        sent: &SentMessages,
        number: u32,
        outgoing: &OutgoingMessage,
    ) -> Result<Option<u64>, AttemptError> {
        let found = match self
            .discord_api()
            .get_messages_after(self.channel, self.source)
            .await
        {
            Ok(found) => found,
            // The nonce has to prevent duplicates then.
            Err(ApiError::Forbidden(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let expected = self.replied_to_message(sent, number);
        let found_message = found.iter().find(|message| {
            let id = Some(message.id.get());
            let is_known = sent.message_ids.iter().any(|(_, known)| *known == id);
            let replies_to = message
                .message_reference
                .as_ref()
                .and_then(|reference| reference.message_id)
                .map(serenity::all::MessageId::get);
            // The content of a growing message does not identify it: another reply may show the
            // same text.
            let fits = match expected {
                Some(_) => replies_to == expected,
                None => replies_to.is_none() && message.content == outgoing.content,
            };
            message.author.id == self.discord_api().bot_user && !is_known && fits
        });
        Ok(found_message.map(|message| message.id.get()))
    }

    /// Records a message that was being sent when the delivery was stopped, if Discord created it.
    pub(in crate::discord) async fn reconcile_sends(
        &self,
        sent: &mut SentMessages,
    ) -> Result<(), DeliveryError> {
        if let Some((number, outgoing)) = sent.unconfirmed.take()
            && let Some(message) = self.find_unconfirmed(sent, number, &outgoing).await?
        {
            self.record_sent(sent, number, message).await?;
        }
        Ok(())
    }
}

fn base36(mut number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    while number > 0 || text.is_empty() {
        text.push(char::from(DIGITS[(number % 36) as usize]));
        number /= 36;
    }
    text.iter().rev().collect()
}
