//! What is counted.

use std::time::Duration;

/// What became of everything that came, and how the connection fared.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Packets that were handed on.
    pub heard: u64,
    /// Of these, packets that had to wait for their speaker or their key.
    pub waited: u64,
    /// Given up: nobody said in time whose stream it is.
    pub no_speaker: u64,
    /// Given up: no key came in time that opens them.
    pub no_key: u64,
    /// Came a second time.
    pub repeated: u64,
    /// Not in order as RTP, or empty.
    pub malformed: u64,
    /// Not under the key of the connection: not from Discord.
    pub forged: u64,
    /// There was no room for them where packets wait.
    pub no_room: u64,
    /// Whoever listens did not take them in time.
    pub overrun: u64,
    /// Other than speech: RTCP, answers to keepalives.
    pub other: u64,
    /// The longest that a packet has waited and was heard.
    pub longest_wait: Duration,
    /// The mean deviation of packets' spacing, of the stream where it is largest
    /// (<https://www.rfc-editor.org/rfc/rfc3550#section-6.4.1>).
    pub jitter: Duration,
    /// Connections that were made with a new session.
    pub identified: u64,
    /// Connections that took a session up again.
    pub resumed: u64,
    /// Groups and epochs of end-to-end encryption that were joined.
    pub epochs: u64,
    /// Messages about end-to-end encryption that could not be made use of.
    pub bad_keys: u64,
}
