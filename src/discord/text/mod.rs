//! Text as Discord shows it: pure functions, in Discord's characters (Unicode code points).
//!
//! Whatever a person or a model says, it pings nobody, ends no quote, hides no link and breaks no
//! code block.

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
