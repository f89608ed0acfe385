//! Discord: what its messages look like.
//!
//! The only room that knows how Discord shows text, and what its limits are.

pub mod text;
