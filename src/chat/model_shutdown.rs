//! Warns about models that their provider is about to shut down.

use std::time::{SystemTime, UNIX_EPOCH};

use super::ChatProbe;

/// How many days ahead to warn.
const WARN_DAYS: i64 = 90;

/// A calendar day, as days since 1970-01-01 (UTC).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct CalendarDay(i64);

/// A model's shutdown that is near or past.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShutdownNotice {
    /// The shutdown date, `YYYY-MM-DD`.
    pub date: String,
    /// Days until then; 0 or less if the model is already shut down.
    pub days_left: i64,
}

/// The notice for a model, if it is shut down within 90 days or already has been.
pub fn shutdown_notice(probe: &ChatProbe, today: CalendarDay) -> Option<ShutdownNotice> {
    let date = probe.shutdown_date.as_deref()?;
    let days_left = CalendarDay::parse(date)?.0 - today.0;
    (days_left <= WARN_DAYS).then(|| ShutdownNotice {
        date: date.to_owned(),
        days_left,
    })
}

/// Today (UTC), by this machine's clock.
pub fn today() -> CalendarDay {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    CalendarDay::from_unix_seconds(i64::try_from(seconds).unwrap_or(0))
}

impl CalendarDay {
    /// The day that contains a Unix time.
    pub fn from_unix_seconds(seconds: i64) -> Self {
        Self(seconds.div_euclid(86_400))
    }

    /// Parses `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let year: i64 = parts.next()?.parse().ok()?;
        let month: i64 = parts.next()?.parse().ok()?;
        let day: i64 = parts.next()?.parse().ok()?;
        let is_valid = parts.next().is_none()
            && (1970..10_000).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day);
        is_valid.then(|| Self::from_civil(year, month, day))
    }

    /// The "days from civil" algorithm: counts years from March, so that the leap day comes last.
    fn from_civil(year: i64, month: i64, day: i64) -> Self {
        let (year, month) = if month > 2 {
            (year, month - 3)
        } else {
            (year - 1, month + 9)
        };
        let leap_days = year / 4 - year / 100 + year / 400;
        // 719,468 days lie between 0000-03-01 and 1970-01-01.
        Self(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468)
    }
}

impl std::fmt::Display for CalendarDay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The first guess is close, so the search takes few steps.
        let mut year = 1970 + self.0 / 366;
        while Self::from_civil(year + 1, 1, 1) <= *self {
            year += 1;
        }
        let mut month = 1;
        while month < 12 && Self::from_civil(year, month + 1, 1) <= *self {
            month += 1;
        }
        let day = self.0 - Self::from_civil(year, month, 1).0 + 1;
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_notice_is_due_ninety_days_ahead() {
        let today = CalendarDay::parse("2026-10-08").expect("a date");
        let left = |date: &str| {
            let probe = ChatProbe {
                shutdown_date: Some(date.to_owned()),
                is_listed: None,
                clock_skew: None,
            };
            shutdown_notice(&probe, today).map(|notice| notice.days_left)
        };
        assert_eq!(left("2027-01-07"), None);
        assert_eq!(left("2027-01-06"), Some(90));
        assert_eq!(left("2026-10-08"), Some(0));
        assert_eq!(left("2026-09-28"), Some(-10));
        assert_eq!(left("soon"), None);
        assert_eq!(shutdown_notice(&ChatProbe::default(), today), None);
    }

    #[test]
    fn known_days() {
        assert_eq!(CalendarDay::parse("1970-01-01"), Some(CalendarDay(0)));
        assert_eq!(CalendarDay::parse("2000-03-01"), Some(CalendarDay(11_017)));
        assert_eq!(
            CalendarDay::from_unix_seconds(1_709_164_800).to_string(),
            "2024-02-29"
        );
        for wrong in [
            "",
            "2026",
            "2026-13-01",
            "2026-01-32",
            "2026-1-1-1",
            "x-y-z",
        ] {
            assert_eq!(CalendarDay::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn days_round_trip(days in 0_i64..2_900_000) {
            prop_assert_eq!(CalendarDay::parse(&CalendarDay(days).to_string()), Some(CalendarDay(days)));
        }
    }
}
