//! The input of a speaker receiver, and its settings.

use std::time::Duration;

use bytes::Bytes;

/// One Opus packet of a speaker, as received from the network.
#[derive(Clone)]
pub struct VoicePacket {
    /// RTP sequence number: increases by one per packet, and wraps around.
    pub sequence: u16,
    /// RTP timestamp in samples at 48 kHz; wraps around.
    pub timestamp: u32,
    /// The Opus packet, decrypted, without headers or padding.
    pub opus: Bytes,
    /// Arrival time, relative to the start of the session.
    pub received: Duration,
}

impl std::fmt::Debug for VoicePacket {
    /// Prints only the size: speech must not reach a log.
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

/// How long to wait for packets, and how to cut speech into utterances.
#[derive(Clone, Debug)]
pub struct SpeakerReceiverSettings {
    /// Minimum time to wait for a missing packet once later ones have arrived. Default: 40 ms.
    pub min_jitter_delay: Duration,
    /// Maximum time to wait for a missing packet, reached if packets keep arriving late. Default:
    /// 200 ms.
    pub max_jitter_delay: Duration,
    /// A pause this long ends an utterance. Default: 600 ms.
    pub end_silence: Duration,
    /// Audio kept before the first and after the last speech, at most 1 s. Default: 300 ms.
    pub pre_roll: Duration,
    /// Minimum duration of confirmed speech in an utterance; with less it is dismissed. Default:
    /// 120 ms.
    pub min_speech: Duration,
    /// Maximum length of an utterance. Default: 30 s, which is what recognizers accept.
    pub max_utterance: Duration,
    /// Whether samples are emitted during an utterance
    /// ([`SpeakerEvent::Audio`](super::SpeakerEvent::Audio)). Default: no.
    pub stream_audio: bool,
    /// Whether streamed samples match utterances exactly, for consumers that process each utterance
    /// separately: together they are the samples of the [`Utterance`](super::Utterance) that
    /// follows. Samples that may turn out to be trailing silence or belong to the next utterance
    /// are then emitted later. Default: no.
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
