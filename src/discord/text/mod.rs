//! Text as Discord shows it: pure functions, in Discord's characters (Unicode code points).
//!
//! Whatever a person or a model says, it pings nobody, ends no quote, hides no link and breaks no
//! code block.

mod blank;
mod code;
mod escape;
#[cfg(test)]
mod grammar;
mod links;
mod split;

pub use blank::is_blank;
pub use escape::{answer, escape, quote};
pub use split::{Split, split, streaming};
