//! What a caller asks admission for: who pays, for what, and how much it may use.

use std::time::Duration;

use super::Reservation;
use crate::chat::TokenUsage;
use crate::flow::usage_rules::Prices;
use crate::store::{Usage, UsageAccount, UsageEntry, UsageStage};

/// Whose caps a call counts against. Author 0 stands for nobody in particular.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Payer {
    /// The guild; `None` in a direct message.
    pub guild: Option<u64>,
    /// The member.
    pub author: u64,
}

impl Payer {
    pub(super) fn from_entry(entry: &UsageEntry) -> Self {
        Self {
            guild: entry.guild,
            author: entry.author,
        }
    }
}

/// Which engines may do the work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AllowedEngines {
    /// Those named in the settings.
    All,
    /// Only engines on this machine, which cost nothing and don't count against the caps.
    LocalOnly,
}

/// Upper bound of what a call may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallCost {
    /// Transcribing a recording of this length.
    Speech(Duration),
    /// Streaming a speaker's audio for this long.
    Stream(Duration),
    /// An answer with at most these tokens; zero for a free model.
    Answer(TokenUsage),
}

impl CallCost {
    pub(super) fn stage(self) -> UsageStage {
        match self {
            Self::Speech(_) | Self::Stream(_) => UsageStage::Speech,
            Self::Answer(_) => UsageStage::Chat,
        }
    }

    pub(super) fn estimate(self, prices: &Prices) -> Usage {
        match self {
            Self::Speech(length) => prices.recording_usage(length),
            Self::Stream(open) => prices.stream_usage(open, open),
            Self::Answer(usage) => prices.answer_usage(usage),
        }
    }
}

/// A request for one call.
#[derive(Clone, Copy)]
pub struct PermitRequest<'a> {
    /// Who pays.
    pub payer: Payer,
    /// The job or session it is for.
    pub account: UsageAccount,
    /// What it may use.
    pub cost: CallCost,
    /// Usage reserved for it earlier, and the length of the recordings that remain to be
    /// transcribed: their share of the reservation is kept.
    pub reservation: Option<(&'a Reservation, Duration)>,
    /// Upper limit for the engines: what local engines began at a cap, they also finish.
    pub allowed_engines: AllowedEngines,
}
