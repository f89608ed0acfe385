//! The names of options, subcommands and choices, which come back in English from everybody.

pub(in crate::discord) const DAYS: &str = "days";
pub(in crate::discord) const MEMBER: &str = "member";
pub(in crate::discord) const QUESTION: &str = "question";
pub(in crate::discord) const AUDIO: &str = "audio";
pub(in crate::discord) const PRIVATE: &str = "private";
pub(in crate::discord) const FORMAT: &str = "format";
pub(in crate::discord) const TEXT: &str = "text";
pub(in crate::discord) const SRT: &str = "srt";
pub(in crate::discord) const VTT: &str = "vtt";
pub(in crate::discord) const JSON: &str = "json";
pub(in crate::discord) const SHOW: &str = "show";
pub(in crate::discord) const NOTES: &str = "notes";
pub(in crate::discord) const LANGUAGE: &str = "language";
pub(in crate::discord) const TERMS: &str = "terms";
pub(in crate::discord) const PROMPT: &str = "prompt";
pub(in crate::discord) const ACCESS: &str = "access";
pub(in crate::discord) const BUDGET: &str = "budget";
pub(in crate::discord) const ON: &str = "on";
pub(in crate::discord) const CHANNEL: &str = "channel";
pub(in crate::discord) const CODES: &str = "codes";
pub(in crate::discord) const WORDS: &str = "words";
pub(in crate::discord) const ROLE: &str = "role";
pub(in crate::discord) const SERVER: &str = "server";
