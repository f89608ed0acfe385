use proptest::prelude::*;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// An hour costs 0.30; ten minutes for a member, an hour for a guild, and one currency unit for
/// all.
const RULES: UsageRules = UsageRules {
    max_duration: Duration::from_secs(1_800),
    cooldown: Duration::from_secs(5),
    audio_caps: DailyCaps {
        member: 600_000,
        guild: 3_600_000,
        global: u64::MAX,
    },
    money_caps: DailyCaps {
        member: u64::MAX,
        guild: u64::MAX,
        global: 1_000_000,
    },
    local_at_cap: false,
    prices: Prices {
        speech_per_hour: 300_000,
        streaming_per_hour: 450_000,
        input_per_million: 1_000_000,
        output_per_million: 6_000_000,
    },
};

fn used(minutes: u64, micros: u64) -> Usage {
    Usage {
        audio_ms: minutes * 60_000,
        micros,
        ..Usage::default()
    }
}

#[test]
fn prices_are_rounded_up() {
    let prices = RULES.prices;
    assert_eq!(prices.recording_price(MINUTE), 5_000);
    assert_eq!(prices.recording_price(Duration::from_millis(1)), 1);
    assert_eq!(prices.recording_price(Duration::ZERO), 0);
    assert_eq!(prices.stream_price(MINUTE), 7_500);
    let usage = |prompt_tokens, answer_tokens| TokenUsage {
        prompt_tokens,
        answer_tokens,
    };
    assert_eq!(prices.answer_price(usage(1_000, 100)), 1_600);
    assert_eq!(Prices::default().answer_price(usage(9, 9)), 0);
    assert_eq!(prices.answer_price(usage(u64::MAX, u64::MAX)), u64::MAX);
}

#[test]
fn a_reached_cap_names_its_scope() {
    let unused = used(0, 0);
    for (minutes, member, guild, global, decision) in [
        (1, unused, unused, unused, AdmissionDecision::Allow),
        (
            1,
            used(9, 0),
            used(59, 0),
            used(999, 0),
            AdmissionDecision::Allow,
        ),
        (
            1,
            used(10, 0),
            used(60, 0),
            unused,
            AdmissionDecision::CapReached(CapScope::Member),
        ),
        (
            1,
            unused,
            used(60, 0),
            unused,
            AdmissionDecision::CapReached(CapScope::Guild),
        ),
        (
            1,
            unused,
            unused,
            used(0, 995_001),
            AdmissionDecision::CapReached(CapScope::Global),
        ),
        (
            1,
            unused,
            unused,
            used(0, 995_000),
            AdmissionDecision::Allow,
        ),
        // A typed question costs money too, but how much is unknown.
        (
            0,
            used(10, 0),
            unused,
            used(0, 999_999),
            AdmissionDecision::Allow,
        ),
        (
            0,
            unused,
            unused,
            used(0, 1_000_000),
            AdmissionDecision::CapReached(CapScope::Global),
        ),
    ] {
        let today = DailyUsage {
            member,
            guild,
            global,
        };
        assert_eq!(
            RULES.check_request(MINUTE * minutes, &today, None),
            decision
        );
    }
}

#[test]
fn at_a_cap_local_engines_take_over_if_allowed() {
    let today = DailyUsage {
        member: used(10, 0),
        ..DailyUsage::default()
    };
    let rules = UsageRules {
        local_at_cap: true,
        ..RULES
    };
    let decision = rules.check_request(MINUTE, &today, None);
    assert_eq!(decision, AdmissionDecision::LocalOnly(CapScope::Member));
}

#[test]
fn duration_and_cooldown_are_checked_first() {
    let decide = |minutes, since: Option<u64>| {
        RULES.check_request(
            MINUTE * minutes,
            &DailyUsage::default(),
            since.map(Duration::from_secs),
        )
    };
    assert_eq!(decide(180, None), AdmissionDecision::TooLong(MINUTE * 30));
    assert_eq!(
        decide(1, Some(2)),
        AdmissionDecision::Cooldown(Duration::from_secs(3))
    );
    assert_eq!(decide(1, Some(5)), AdmissionDecision::Allow);
}

proptest! {
    /// However the recordings are split, nobody exceeds the cap.
    #[test]
    fn no_cap_is_ever_exceeded(durations in prop::collection::vec(0_u64..400_000, 0..100)) {
        let mut today = DailyUsage::default();
        for duration in durations {
            let duration = Duration::from_millis(duration);
            if RULES.check_request(duration, &today, None) == AdmissionDecision::Allow {
                for used in [&mut today.member, &mut today.guild, &mut today.global] {
                    used.audio_ms += to_millis(duration);
                    used.micros += RULES.prices.recording_price(duration);
                }
            }
        }
        prop_assert!(today.member.audio_ms <= RULES.audio_caps.member);
        prop_assert!(today.global.micros <= RULES.money_caps.global);
    }
}
