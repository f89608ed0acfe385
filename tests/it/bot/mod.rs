//! The bot in Discord, as people meet it.

mod bad_input;
mod commands;
mod conversation_memory;
mod cost_limits;
mod crash_leftovers;
mod data_deletion;
mod deleted_messages;
mod delivery_failures;
mod empty_answers;
mod exactly_once_responses;
mod gateway;
pub(crate) mod harness;
mod log_privacy;
mod message_sources;
mod missed_messages;
mod observability;
mod recovery;
mod unexpected_payloads;
mod voice;
mod voice_notes;
