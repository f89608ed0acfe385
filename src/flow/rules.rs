//! What members may ask for, and what it costs: decided before a byte is downloaded or paid for.

use std::time::Duration;

use crate::chat::Usage;
use crate::store::Used;

/// What is paid, in millionths of the currency.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Prices {
    /// An hour of recording.
    pub speech_hour: u64,
    /// An hour of an open stream.
    pub streaming_hour: u64,
    /// A million tokens to the model.
    pub input_million: u64,
    /// A million tokens from the model.
    pub output_million: u64,
}

/// The most a day: milliseconds of recording, or millionths of the currency.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Caps {
    /// For one member.
    pub member: u64,
    /// For one server.
    pub server: u64,
    /// For everybody together.
    pub all: u64,
}

/// What a member may ask for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rules {
    /// The longest recording.
    pub longest: Duration,
    /// The time between two questions of a member.
    pub cooldown: Duration,
    /// Milliseconds of recording a day.
    pub audio: Caps,
    /// Money a day.
    pub money: Caps,
    /// At a cap, whether the engines of this machine go on, which cost nothing.
    pub local_at_cap: bool,
    /// What is paid for.
    pub prices: Prices,
}

/// What was used today, what waiting work will use included: many notes at once must not all
/// pass before the first is booked.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Today {
    /// By the member.
    pub member: Used,
    /// In the server; nothing in a direct message.
    pub server: Used,
    /// By everybody.
    pub all: Used,
}

impl Today {
    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self {
            member: self.member.and(&other.member),
            server: self.server.and(&other.server),
            all: self.all.and(&other.all),
        }
    }
}

/// Whose cap it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Whose {
    /// The member's own.
    Member,
    /// The server's.
    Server,
    /// The one for all servers together.
    Everyone,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// As the settings say.
    Go,
    /// With the engines of this machine only: somebody's cap is reached.
    Local(Whose),
    /// Not today: somebody's cap is reached.
    Spent(Whose),
    /// Not at all: the recording is longer than this.
    TooLong(Duration),
    /// Not yet: the member's last question was too short ago. Says how long to wait.
    Wait(Duration),
}

impl Prices {
    /// What writing down a recording uses.
    #[must_use]
    pub fn of_recording(&self, recording: Duration) -> Used {
        Used {
            audio_ms: millis(recording),
            micros: self.speech(recording),
            ..Used::default()
        }
    }

    /// What listening to somebody uses while they speak: their sound counts as recorded, and paid
    /// is for how long the stream was open.
    #[must_use]
    pub fn of_stream(&self, audio: Duration, open: Duration) -> Used {
        Used {
            audio_ms: millis(audio.min(open)),
            micros: self.streaming(open),
            ..Used::default()
        }
    }

    /// What an answer uses.
    #[must_use]
    pub fn of_answer(&self, usage: Usage) -> Used {
        Used {
            tokens_in: usage.prompt_tokens,
            tokens_out: usage.answer_tokens,
            micros: self.chat(usage),
            ..Used::default()
        }
    }

    /// The price of writing down a recording, rounded up.
    #[must_use]
    pub fn speech(&self, recording: Duration) -> u64 {
        share(self.speech_hour, millis(recording), 3_600_000)
    }

    /// The price of a stream that was open for so long, rounded up.
    #[must_use]
    pub fn streaming(&self, open: Duration) -> u64 {
        share(self.streaming_hour, millis(open), 3_600_000)
    }

    /// The price of an answer, rounded up.
    #[must_use]
    pub fn chat(&self, usage: Usage) -> u64 {
        share(self.input_million, usage.prompt_tokens, 1_000_000).saturating_add(share(
            self.output_million,
            usage.answer_tokens,
            1_000_000,
        ))
    }
}

impl Rules {
    /// Decides about a request with a recording of this length (zero: typed), whose author asked
    /// `since_last` ago for the last time.
    #[must_use]
    pub fn judge(
        &self,
        recording: Duration,
        today: &Today,
        since_last: Option<Duration>,
    ) -> Verdict {
        if recording > self.longest {
            return Verdict::TooLong(self.longest);
        }
        if let Some(since) = since_last
            && since < self.cooldown
        {
            return Verdict::Wait(self.cooldown - since);
        }
        self.judge_use(&self.prices.of_recording(recording), today)
    }

    /// Decides about a call that uses so much.
    #[must_use]
    pub fn judge_use(&self, wanted: &Used, today: &Today) -> Verdict {
        self.at_cap(self.reached(wanted, today))
    }

    /// Decides about an answer that costs something. How much is not known before, so it is allowed
    /// while any money is left.
    #[must_use]
    pub fn judge_answer(&self, today: &Today) -> Verdict {
        let caps = [
            (Whose::Member, &today.member, self.money.member),
            (Whose::Server, &today.server, self.money.server),
            (Whose::Everyone, &today.all, self.money.all),
        ];
        let spent = caps.into_iter().find(|(_, used, cap)| used.micros >= *cap);
        self.at_cap(spent.map(|(whose, ..)| whose))
    }

    fn at_cap(&self, reached: Option<Whose>) -> Verdict {
        match reached {
            None => Verdict::Go,
            Some(whose) if self.local_at_cap => Verdict::Local(whose),
            Some(whose) => Verdict::Spent(whose),
        }
    }

    /// Whose cap would be passed, the widest last: a member should hear of their own first. What
    /// an answer costs is not known before, so money is spent once its cap is reached.
    fn reached(&self, wanted: &Used, today: &Today) -> Option<Whose> {
        let (audio, money) = (wanted.audio_ms, wanted.micros);
        let full = |used: &Used, audio_cap: u64, money_cap: u64| {
            used.audio_ms.saturating_add(audio) > audio_cap
                || used.micros.saturating_add(money) > money_cap
                || (money_cap > 0 && used.micros >= money_cap)
        };
        [
            (
                Whose::Member,
                &today.member,
                self.audio.member,
                self.money.member,
            ),
            (
                Whose::Server,
                &today.server,
                self.audio.server,
                self.money.server,
            ),
            (Whose::Everyone, &today.all, self.audio.all, self.money.all),
        ]
        .into_iter()
        .find(|(_, used, audio_cap, money_cap)| full(used, *audio_cap, *money_cap))
        .map(|(whose, ..)| whose)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `price` for `amount` of `unit`, rounded up.
fn share(price: u64, amount: u64, unit: u64) -> u64 {
    let share = (u128::from(price) * u128::from(amount)).div_ceil(u128::from(unit));
    u64::try_from(share).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// An hour costs 0.30; ten minutes a member, an hour a server, and one unit of money for all.
    const RULES: Rules = Rules {
        longest: Duration::from_secs(1_800),
        cooldown: Duration::from_secs(5),
        audio: Caps {
            member: 600_000,
            server: 3_600_000,
            all: u64::MAX,
        },
        money: Caps {
            member: u64::MAX,
            server: u64::MAX,
            all: 1_000_000,
        },
        local_at_cap: false,
        prices: Prices {
            speech_hour: 300_000,
            streaming_hour: 450_000,
            input_million: 1_000_000,
            output_million: 6_000_000,
        },
    };

    fn used(minutes: u64, micros: u64) -> Used {
        Used {
            audio_ms: minutes * 60_000,
            micros,
            ..Used::default()
        }
    }

    #[test]
    fn prices_are_rounded_up() {
        let prices = RULES.prices;
        assert_eq!(prices.speech(MINUTE), 5_000);
        assert_eq!(prices.speech(Duration::from_millis(1)), 1);
        assert_eq!(prices.speech(Duration::ZERO), 0);
        assert_eq!(prices.streaming(MINUTE), 7_500);
        let usage = |prompt_tokens, answer_tokens| Usage {
            prompt_tokens,
            answer_tokens,
        };
        assert_eq!(prices.chat(usage(1_000, 100)), 1_600);
        assert_eq!(Prices::default().chat(usage(9, 9)), 0);
        assert_eq!(prices.chat(usage(u64::MAX, u64::MAX)), u64::MAX);
    }

    #[test]
    fn a_cap_is_told_by_whose_it_is() {
        let nobody = used(0, 0);
        for (minutes, member, server, all, verdict) in [
            (1, nobody, nobody, nobody, Verdict::Go),
            (1, used(9, 0), used(59, 0), used(999, 0), Verdict::Go),
            (
                1,
                used(10, 0),
                used(60, 0),
                nobody,
                Verdict::Spent(Whose::Member),
            ),
            (
                1,
                nobody,
                used(60, 0),
                nobody,
                Verdict::Spent(Whose::Server),
            ),
            (
                1,
                nobody,
                nobody,
                used(0, 995_001),
                Verdict::Spent(Whose::Everyone),
            ),
            (1, nobody, nobody, used(0, 995_000), Verdict::Go),
            // A typed question costs money too, but nobody knows how much.
            (0, used(10, 0), nobody, used(0, 999_999), Verdict::Go),
            (
                0,
                nobody,
                nobody,
                used(0, 1_000_000),
                Verdict::Spent(Whose::Everyone),
            ),
        ] {
            let today = Today {
                member,
                server,
                all,
            };
            assert_eq!(RULES.judge(MINUTE * minutes, &today, None), verdict);
        }
    }

    #[test]
    fn at_a_cap_this_machine_goes_on_where_it_may() {
        let today = Today {
            member: used(10, 0),
            ..Today::default()
        };
        let rules = Rules {
            local_at_cap: true,
            ..RULES
        };
        let verdict = rules.judge(MINUTE, &today, None);
        assert_eq!(verdict, Verdict::Local(Whose::Member));
    }

    #[test]
    fn length_and_haste_have_limits_of_their_own() {
        let judge = |minutes, since: Option<u64>| {
            RULES.judge(
                MINUTE * minutes,
                &Today::default(),
                since.map(Duration::from_secs),
            )
        };
        assert_eq!(judge(180, None), Verdict::TooLong(MINUTE * 30));
        assert_eq!(judge(1, Some(2)), Verdict::Wait(Duration::from_secs(3)));
        assert_eq!(judge(1, Some(5)), Verdict::Go);
    }

    proptest! {
        /// However it is cut into notes, nobody gets more than the cap.
        #[test]
        fn no_cap_is_ever_passed(notes in prop::collection::vec(0_u64..400_000, 0..100)) {
            let mut today = Today::default();
            for note in notes {
                let note = Duration::from_millis(note);
                if RULES.judge(note, &today, None) == Verdict::Go {
                    for used in [&mut today.member, &mut today.server, &mut today.all] {
                        used.audio_ms += millis(note);
                        used.micros += RULES.prices.speech(note);
                    }
                }
            }
            prop_assert!(today.member.audio_ms <= RULES.audio.member);
            prop_assert!(today.all.micros <= RULES.money.all);
        }
    }
}
