//! Text as Discord renders it: pure functions that count characters as Discord does, by Unicode
//! code points.
//!
//! User or model text never mentions anybody, breaks out of a quote, hides a link target or breaks
//! a code block.

mod blank;
mod code_spans;
mod escape;
mod links;
#[cfg(test)]
mod markdown_oracle;
mod split;

pub use blank::is_blank;
pub use escape::{escape, quote, sanitize_answer};
pub use split::{SplitMessage, split_message, streaming_preview};
