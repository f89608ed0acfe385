//! The messages of the voice gateway, version 8
//! (<https://discord.com/developers/docs/topics/voice-connections>): [`ServerEvent`], which `parse`
//! reads, and [`ClientEvent`], which we send.
//!
//! Most are JSON texts with an opcode. Most messages about DAVE are binary: the server's begin
//! with a sequence number of two bytes and an opcode, ours with the opcode
//! (<https://daveprotocol.com/#voice-gateway-opcodes>).

mod client_event;
mod parse;
mod server_event;
#[cfg(test)]
mod tests;

pub use client_event::{ClientEvent, EncodedEvent};
pub use parse::{ParseError, parse_binary, parse_text};
pub use server_event::{DaveEvent, ServerEvent};

/// The version of the voice gateway.
pub(super) const GATEWAY_VERSION: u8 = 8;

/// The newest supported version of DAVE, which Identify reports.
pub const MAX_DAVE_VERSION: u16 = davey::DAVE_PROTOCOL_VERSION;
