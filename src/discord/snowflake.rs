//! Snowflake ids contain their creation time:
//! <https://discord.com/developers/docs/reference#snowflakes>.

use std::time::Duration;

use crate::store::Timestamp;

/// Discord's epoch, the start of 2015, in milliseconds since 1970.
const DISCORD_EPOCH_MILLIS: u64 = 1_420_070_400_000;

/// When the object with this id was created, in milliseconds since 1970.
pub(super) fn created_at_millis(id: u64) -> i64 {
    i64::try_from((id >> 22) + DISCORD_EPOCH_MILLIS).unwrap_or(i64::MAX)
}

/// Time since the object was created; zero for an id from the future, since clocks differ.
pub(super) fn age(id: u64) -> Duration {
    let age = Timestamp::now().0.saturating_sub(created_at_millis(id));
    Duration::from_millis(u64::try_from(age).unwrap_or(0))
}

/// The smallest id created `span` ago.
pub(super) fn smallest_id_from(span: Duration) -> u64 {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let then = u64::try_from(Timestamp::now().0.saturating_sub(span)).unwrap_or(0);
    then.saturating_sub(DISCORD_EPOCH_MILLIS).max(1) << 22
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_contain_their_creation_time() {
        // The example in Discord's documentation.
        assert_eq!(
            created_at_millis(175_928_847_299_117_063),
            1_462_015_105_796
        );
        let id = smallest_id_from(Duration::from_secs(60));
        assert!((60_000..61_000).contains(&age(id).as_millis()));
        assert_eq!(age(u64::MAX), Duration::ZERO);
    }
}
