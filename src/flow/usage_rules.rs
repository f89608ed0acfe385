//! Prices, caps, and the rules that decide about a request before anything is downloaded or paid
//! for.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::chat::TokenUsage;
use crate::millis::to_millis;
use crate::store::Usage;

/// Provider prices, in millionths of the currency.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Prices {
    /// Per hour of recording.
    pub speech_per_hour: u64,
    /// Per hour that a stream is open.
    pub streaming_per_hour: u64,
    /// Per million prompt tokens.
    pub input_per_million: u64,
    /// Per million answer tokens.
    pub output_per_million: u64,
}

/// Daily caps, in milliseconds of recording or millionths of the currency.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DailyCaps {
    /// For one member.
    pub member: u64,
    /// For one guild.
    pub guild: u64,
    /// For all guilds together.
    pub global: u64,
}

/// The limits on what members may ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UsageRules {
    /// The longest recording.
    pub max_duration: Duration,
    /// Minimum time between two requests of a member.
    pub cooldown: Duration,
    /// Daily caps on recordings, in milliseconds.
    pub audio_caps: DailyCaps,
    /// Daily caps on money, in millionths of the currency.
    pub money_caps: DailyCaps,
    /// Whether local engines, which cost nothing, take over at a cap.
    pub local_at_cap: bool,
    /// What calls cost.
    pub prices: Prices,
}

/// Usage of one day, including what pending work will use: otherwise several requests at once could
/// pass before the first is recorded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DailyUsage {
    /// By the member.
    pub member: Usage,
    /// In the guild; zero in a direct message.
    pub guild: Usage,
    /// By everyone.
    pub global: Usage,
}

impl DailyUsage {
    /// Adds both.
    #[must_use]
    pub fn saturating_add(&self, other: &Self) -> Self {
        Self {
            member: self.member.saturating_add(&other.member),
            guild: self.guild.saturating_add(&other.guild),
            global: self.global.saturating_add(&other.global),
        }
    }
}

/// Whose cap it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CapScope {
    /// The member's own.
    Member,
    /// The guild's.
    Guild,
    /// The one for all guilds together.
    Global,
}

/// Decision about a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AdmissionDecision {
    /// Allowed with any engine.
    Allow,
    /// Allowed with local engines only: this cap is reached.
    LocalOnly(CapScope),
    /// Refused for today: this cap is reached.
    CapReached(CapScope),
    /// Refused: the recording is longer than this.
    TooLong(Duration),
    /// Refused for this long: the member asked too recently.
    Cooldown(Duration),
}

impl Prices {
    /// Usage of transcribing a recording.
    #[must_use]
    pub fn recording_usage(&self, recording: Duration) -> Usage {
        Usage {
            audio_ms: to_millis(recording),
            micros: self.recording_price(recording),
            ..Usage::default()
        }
    }

    /// Usage of a live stream: `audio` counts as recording, and the time it was `open` is paid for.
    #[must_use]
    pub fn stream_usage(&self, audio: Duration, open: Duration) -> Usage {
        Usage {
            audio_ms: to_millis(audio.min(open)),
            micros: self.stream_price(open),
            ..Usage::default()
        }
    }

    /// Usage of an answer.
    #[must_use]
    pub fn answer_usage(&self, usage: TokenUsage) -> Usage {
        Usage {
            tokens_in: usage.prompt_tokens,
            tokens_out: usage.answer_tokens,
            micros: self.answer_price(usage),
            ..Usage::default()
        }
    }

    /// Price of transcribing a recording, rounded up.
    #[must_use]
    pub fn recording_price(&self, recording: Duration) -> u64 {
        prorate(self.speech_per_hour, to_millis(recording), 3_600_000)
    }

    /// Price of a stream that was open this long, rounded up.
    #[must_use]
    pub fn stream_price(&self, open: Duration) -> u64 {
        prorate(self.streaming_per_hour, to_millis(open), 3_600_000)
    }

    /// Price of an answer, rounded up.
    #[must_use]
    pub fn answer_price(&self, usage: TokenUsage) -> u64 {
        prorate(self.input_per_million, usage.prompt_tokens, 1_000_000).saturating_add(prorate(
            self.output_per_million,
            usage.answer_tokens,
            1_000_000,
        ))
    }
}

impl UsageRules {
    /// Decides about a request with a recording of this length (zero for typed text), whose author
    /// last asked `since_last` ago.
    #[must_use]
    pub fn check_request(
        &self,
        recording: Duration,
        today: &DailyUsage,
        since_last: Option<Duration>,
    ) -> AdmissionDecision {
        if recording > self.max_duration {
            return AdmissionDecision::TooLong(self.max_duration);
        }
        if let Some(since) = since_last
            && since < self.cooldown
        {
            return AdmissionDecision::Cooldown(self.cooldown - since);
        }
        self.check_usage(&self.prices.recording_usage(recording), today)
    }

    /// Decides about a call that uses `wanted`.
    #[must_use]
    pub fn check_usage(&self, wanted: &Usage, today: &DailyUsage) -> AdmissionDecision {
        self.decide_at_cap(self.reached_cap(wanted, today))
    }

    /// Decides about a paid answer. Its cost is unknown, so it is allowed while any money is left.
    #[must_use]
    pub fn check_answer(&self, today: &DailyUsage) -> AdmissionDecision {
        let caps = [
            (CapScope::Member, &today.member, self.money_caps.member),
            (CapScope::Guild, &today.guild, self.money_caps.guild),
            (CapScope::Global, &today.global, self.money_caps.global),
        ];
        let reached = caps.into_iter().find(|(_, used, cap)| used.micros >= *cap);
        self.decide_at_cap(reached.map(|(scope, ..)| scope))
    }

    fn decide_at_cap(&self, reached: Option<CapScope>) -> AdmissionDecision {
        match reached {
            None => AdmissionDecision::Allow,
            Some(scope) if self.local_at_cap => AdmissionDecision::LocalOnly(scope),
            Some(scope) => AdmissionDecision::CapReached(scope),
        }
    }

    /// The cap that would be exceeded, the member's own first: it is the most useful to tell. The
    /// cost of an answer is unknown, so a cap on money is reached as soon as all of it is spent.
    fn reached_cap(&self, wanted: &Usage, today: &DailyUsage) -> Option<CapScope> {
        let (audio, money) = (wanted.audio_ms, wanted.micros);
        let exceeds = |used: &Usage, audio_cap: u64, money_cap: u64| {
            used.audio_ms.saturating_add(audio) > audio_cap
                || used.micros.saturating_add(money) > money_cap
                || (money_cap > 0 && used.micros >= money_cap)
        };
        [
            (
                CapScope::Member,
                &today.member,
                self.audio_caps.member,
                self.money_caps.member,
            ),
            (
                CapScope::Guild,
                &today.guild,
                self.audio_caps.guild,
                self.money_caps.guild,
            ),
            (
                CapScope::Global,
                &today.global,
                self.audio_caps.global,
                self.money_caps.global,
            ),
        ]
        .into_iter()
        .find(|(_, used, audio_cap, money_cap)| exceeds(used, *audio_cap, *money_cap))
        .map(|(scope, ..)| scope)
    }
}

/// `price` per `unit`, for `amount`, rounded up.
fn prorate(price: u64, amount: u64, unit: u64) -> u64 {
    let share = (u128::from(price) * u128::from(amount)).div_ceil(u128::from(unit));
    u64::try_from(share).unwrap_or(u64::MAX)
}
