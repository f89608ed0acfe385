//! What an ear takes, and how it listens.

use std::time::Duration;

use bytes::Bytes;

/// One Opus packet of a speaker, as the network gave it.
#[derive(Clone)]
pub struct VoicePacket {
    /// The RTP sequence number: one more with each packet sent.
    pub sequence: u16,
    /// The RTP timestamp, in samples at 48 kHz.
    pub timestamp: u32,
    /// The Opus packet, decrypted, with nothing before or behind it.
    pub opus: Bytes,
    /// When it came, counted from the beginning of the session.
    pub received: Duration,
}

impl std::fmt::Debug for VoicePacket {
    /// Speech never reaches a log: only its size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "VoicePacket({} at {}, {} bytes, {:?})",
            self.sequence,
            self.timestamp,
            self.opus.len(),
            self.received
        )
    }
}

/// How patiently and how closely a speaker is listened to.
#[derive(Clone, Debug)]
pub struct SpeakerReceiverSettings {
    /// A packet that is missing while later ones have come is waited for at least this long.
    /// Default: 40 ms.
    pub min_jitter_delay: Duration,
    /// And at most this long, where packets have been seen to come late. Default: 200 ms.
    pub max_jitter_delay: Duration,
    /// A pause this long ends an utterance. Default: 600 ms.
    pub end_silence: Duration,
    /// How much is kept before the first and after the last speech, at most 1 s. Default: 300 ms.
    pub pre_roll: Duration,
    /// With less speech that is sure to be some, it is no utterance. Default: 120 ms.
    pub min_speech: Duration,
    /// No utterance is longer. Default: 30 s; recognizers are made for up to that.
    pub max_utterance: Duration,
    /// Whether samples are given out while somebody still speaks ([`SpeakerEvent::Audio`](super::SpeakerEvent::Audio)).
    /// Default: no.
    pub stream_audio: bool,
    /// Whether these are cut to utterances, for whoever hears each by itself: together exactly the
    /// samples of the [`TrackedUtterance`](super::TrackedUtterance) that follows. What may yet belong to the
    /// silence behind it, or to the next one, is then given later. Default: no.
    pub align_to_utterances: bool,
}

impl Default for SpeakerReceiverSettings {
    fn default() -> Self {
        Self {
            min_jitter_delay: Duration::from_millis(40),
            max_jitter_delay: Duration::from_millis(200),
            end_silence: Duration::from_millis(600),
            pre_roll: Duration::from_millis(300),
            min_speech: Duration::from_millis(120),
            max_utterance: Duration::from_secs(30),
            stream_audio: false,
            align_to_utterances: false,
        }
    }
}
