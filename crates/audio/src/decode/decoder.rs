//! Decodes a recording as a stream of blocks, in constant memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use super::open_container::{OpenedContainer, looks_encrypted, open_container, unknown_codec};
use super::opus_stream::OPUS_RATE;
use super::track_selection::{AudioInfo, SelectedTrack, TrackDecoder, select_track};
use super::{matroska_tail, ogg_tail};
use crate::containers::{Demuxer, is_unexpected_eof};
use crate::pcm::duration_to_samples;
use crate::{AudioError, AudioLimits, Recording, SAMPLE_RATE};

/// Gaps in the timestamps longer than this are filled with silence, so that the audio after them
/// keeps its position. Shorter ones are rounding errors. In seconds.
const MIN_GAP_SECONDS: f64 = 0.2;

/// Maximum silence added per block to fill a gap, in seconds. Longer gaps take several blocks, so
/// that memory stays bounded.
const MAX_GAP_FILL_SECONDS: f64 = 10.0;

/// The lowest plausible bitrate of a recording, in bytes per second. A declared duration that
/// implies less is ignored; then only the decoded duration counts.
const MIN_BYTES_PER_SECOND: u64 = 100;

/// Consecutive packets without any audio after which a file counts as damaged.
const MAX_EMPTY_PACKETS: u32 = 10_000;

/// Maximum number of chained streams in one file.
const MAX_CHAINED_STREAMS: usize = 1_000;

/// Decodes a recording block by block into mono samples at [`SAMPLE_RATE`].
///
/// Blocking: run it on a thread of its own. Memory use does not depend on the length.
pub struct Decoder {
    format: Box<dyn Demuxer>,
    recording: Recording,
    info: AudioInfo,
    track: u32,
    time_base: Option<TimeBase>,
    track_decoder: TrackDecoder,
    /// Samples up to the end of the audio, if the container declares it.
    samples_left: Option<u64>,
    /// Number of padding samples at the end.
    padding_samples: usize,
    /// The most recent samples, as many as may turn out to be padding.
    held_back: Vec<f32>,
    /// Whether the file is known to end on an element boundary.
    ends_at_element: bool,
    /// Whether the file was still being written when it was opened.
    was_growing: bool,
    block: Vec<f32>,
    samples_emitted: u64,
    max_samples: u64,
    limits: AudioLimits,
    /// Expected start of the next packet, in seconds on the track's clock.
    next_packet_time: Option<f64>,
    /// Start of the first packet of another track, in seconds.
    other_track_start: Option<f64>,
    /// Number of audio tracks that can be decoded.
    audio_track_count: usize,
    /// Whether the audio starts later than the recording, so that silence was added before it.
    starts_late: bool,
    /// Silence still to be added before `packet_after_gap`, in seconds.
    gap_seconds: f64,
    packet_after_gap: Option<Packet>,
    is_truncated: bool,
    is_finished: bool,
    empty_packets: u32,
    chained_streams: usize,
    has_known_signature: bool,
    /// The kind of file, if it is known to be one without a demuxer.
    unsupported_kind: Option<&'static str>,
}

impl Decoder {
    /// Opens a recording and selects the track with the speech: the default audio track, or else
    /// the first that can be decoded.
    ///
    /// # Errors
    ///
    /// Every [`AudioError`] that can be found without decoding.
    pub fn open(recording: &Recording, limits: &AudioLimits) -> Result<Self, AudioError> {
        catch_panic(|| Self::open_inner(recording, limits))
    }

    fn open_inner(recording: &Recording, limits: &AudioLimits) -> Result<Self, AudioError> {
        let was_growing = recording.is_growing();
        let OpenedContainer {
            mut format,
            bytes,
            has_known_signature,
            unsupported_kind,
        } = open_container(recording, limits)?;
        if format.tracks().len() > limits.max_tracks {
            return Err(AudioError::TooManyTracks {
                limit: limits.max_tracks,
            });
        }
        let container = format.name();
        let chosen =
            select_track(format.as_mut(), container, recording).map_err(|error| match error {
                AudioError::NoAudioTrack | AudioError::UnsupportedCodec { .. }
                    if container == "isomp4" && looks_encrypted(recording) =>
                {
                    AudioError::Encrypted
                }
                // For codecs that symphonia can't name, look up the name in the file itself.
                AudioError::NoAudioTrack => match unknown_codec(recording, container) {
                    Some(codec) => AudioError::UnsupportedCodec { codec },
                    None => error,
                },
                error => error,
            })?;
        if let Some(declared) = chosen.info.declared_duration
            && !was_growing
            && declared > limits.max_duration
            && bytes / declared.as_secs().max(1) >= MIN_BYTES_PER_SECOND
        {
            return Err(AudioError::TooLong {
                limit: limits.max_duration,
            });
        }
        let SelectedTrack {
            info,
            track,
            time_base,
            decoder,
            samples_left,
            padding_samples,
            ends_at_element,
            start_seconds,
            audio_track_count,
        } = chosen;
        Ok(Self {
            format,
            recording: recording.clone(),
            info,
            track,
            time_base,
            track_decoder: decoder,
            samples_left,
            padding_samples,
            held_back: Vec::new(),
            ends_at_element,
            was_growing,
            block: Vec::new(),
            samples_emitted: 0,
            max_samples: duration_to_samples(limits.max_duration),
            limits: limits.clone(),
            next_packet_time: start_seconds,
            other_track_start: None,
            audio_track_count,
            starts_late: false,
            gap_seconds: 0.0,
            packet_after_gap: None,
            is_truncated: false,
            is_finished: false,
            empty_packets: 0,
            chained_streams: 1,
            has_known_signature,
            unsupported_kind,
        })
    }

    /// Container, codec and declared duration; for chained streams those of the first.
    pub fn info(&self) -> &AudioInfo {
        &self.info
    }

    /// Number of audio tracks that can be decoded.
    pub(crate) fn audio_track_count(&self) -> usize {
        self.audio_track_count
    }

    /// Whether the decoded audio differs from what other decoders get from the file, which take its
    /// first audio track from its first packet on.
    pub(crate) fn differs_from_file(&self) -> bool {
        self.starts_late || self.recording.audio_track() > 0
    }

    /// Whether the file ends in the middle of a packet or element. Valid after the last block.
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// The next samples, mono at [`SAMPLE_RATE`], never empty; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`AudioError::TooLong`] when more has been decoded than allowed, [`AudioError::Damaged`] if
    /// nothing could be decoded at all, [`AudioError::Unreadable`] if reading the file fails.
    pub fn next_block(&mut self) -> Result<Option<&[f32]>, AudioError> {
        self.block.clear();
        let filled = catch_panic(AssertUnwindSafe(|| self.fill_block()));
        if let Err(error) = filled {
            self.is_finished = true;
            // Audio from before the damage is still useful; fail only if there is none.
            if self.samples_emitted == 0 || !matches!(error, AudioError::Damaged { .. }) {
                return Err(error);
            }
            self.is_truncated = true;
            self.block.clear();
        }
        if self.block.is_empty() {
            if self.samples_emitted == 0 {
                // An intact file without audio is just too short.
                if self.has_known_signature && !self.is_truncated && self.empty_packets == 0 {
                    return Err(AudioError::TooShort {
                        duration: std::time::Duration::ZERO,
                    });
                }
                return Err(match (self.has_known_signature, self.unsupported_kind) {
                    (_, Some(kind)) => AudioError::UnsupportedFile { kind },
                    (true, None) => AudioError::Damaged {
                        reason: "nothing could be decoded".to_owned(),
                    },
                    (false, None) => AudioError::NotAudio,
                });
            }
            return Ok(None);
        }
        self.samples_emitted += self.block.len() as u64;
        if self.samples_emitted > self.max_samples {
            self.is_finished = true;
            return Err(AudioError::TooLong {
                limit: self.limits.max_duration,
            });
        }
        Ok(Some(&self.block))
    }

    fn fill_block(&mut self) -> Result<(), AudioError> {
        while self.block.is_empty() && !self.is_finished {
            if self.gap_seconds > 0.0 {
                self.fill_gap()?;
                self.trim_end();
                continue;
            }
            let packet = match self.packet_after_gap.take() {
                Some(packet) => Some(packet),
                None => self.next_packet()?,
            };
            match packet {
                None => self.finish()?,
                Some(packet) if self.detect_gap(&packet) => self.packet_after_gap = Some(packet),
                Some(packet) => self.decode_packet(packet)?,
            }
            self.trim_end();
        }
        Ok(())
    }

    /// Removes the samples that the container marks as padding at the end.
    fn trim_end(&mut self) {
        if self.padding_samples > 0 {
            self.held_back.append(&mut self.block);
            let sound = self.held_back.len().saturating_sub(self.padding_samples);
            self.block.extend(self.held_back.drain(..sound));
        }
        if let Some(left) = &mut self.samples_left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            self.block.truncate(most);
            *left -= self.block.len() as u64;
            self.is_finished |= *left == 0;
        }
    }

    /// The next packet of the selected track, across chained streams.
    fn next_packet(&mut self) -> Result<Option<Packet>, AudioError> {
        loop {
            match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => {
                    self.note_first_packet(&packet);
                    return Ok(Some(packet));
                }
                Ok(Some(packet)) => self.note_other_track(&packet),
                Ok(None) => return Ok(None),
                Err(Error::ResetRequired) => self.start_chained_stream()?,
                // The normal end of a file that was written while recording, with an unknown
                // length.
                Err(error) if is_unexpected_eof(&error) && self.is_complete() => return Ok(None),
                Err(Error::IoError(error)) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                    return Err(AudioError::Unreadable(error));
                }
                // The file is truncated, or continues with something else.
                Err(_) => {
                    self.is_truncated = true;
                    return Ok(None);
                }
            }
        }
    }

    /// Packets of other tracks tell when the recording starts if the audio track starts later.
    fn note_other_track(&mut self, packet: &Packet) {
        if self.next_packet_time.is_some() || self.other_track_start.is_some() {
            return;
        }
        let mut tracks = self.format.tracks().iter();
        let base = tracks.find(|track| track.id == packet.track_id);
        self.other_track_start = packet_seconds(packet, base.and_then(|track| track.time_base));
    }

    fn note_first_packet(&mut self, packet: &Packet) {
        if self.next_packet_time.is_none()
            && let Some(earliest) = self.other_track_start
            && let Some(start) = self.packet_start(packet)
        {
            self.next_packet_time = Some(earliest.min(start));
        }
    }

    /// Whether a file without an end marker is complete because it ends on an element or page
    /// boundary. If it was still being written when it was opened, the padding of its last block is
    /// not known in time, and that much silence is kept.
    fn is_complete(&self) -> bool {
        match self.info.container {
            "matroska" if self.was_growing => {
                matroska_tail::read_tail(&self.recording, self.track).is_some()
            }
            "ogg" => ogg_tail::ends_on_packet_boundary(&self.recording),
            _ => self.ends_at_element,
        }
    }

    /// Switches to the next chained stream.
    fn start_chained_stream(&mut self) -> Result<(), AudioError> {
        self.finish_stream()?;
        self.chained_streams += 1;
        if self.chained_streams > MAX_CHAINED_STREAMS {
            return Err(AudioError::TooManyTracks {
                limit: MAX_CHAINED_STREAMS,
            });
        }
        let chosen = select_track(self.format.as_mut(), self.info.container, &self.recording)?;
        self.track = chosen.track;
        self.time_base = chosen.time_base;
        self.track_decoder = chosen.decoder;
        self.next_packet_time = chosen.start_seconds;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), AudioError> {
        self.is_finished = true;
        self.finish_stream()
    }

    fn finish_stream(&mut self) -> Result<(), AudioError> {
        match &mut self.track_decoder {
            // What an Opus stream still holds back at its end is padding.
            TrackDecoder::Opus(_) => Ok(()),
            TrackDecoder::Codec(stream) => stream.finish(&mut self.block),
        }
    }

    /// Whether audio is missing before `packet`; stores the length of the gap.
    fn detect_gap(&mut self, packet: &Packet) -> bool {
        let (Some(clock), Some(start)) = (self.next_packet_time, self.packet_start(packet)) else {
            return false;
        };
        let missing = start - clock;
        if missing > MIN_GAP_SECONDS {
            self.gap_seconds = missing;
            self.starts_late |= self.samples_emitted == 0;
            self.next_packet_time = Some(start);
            return true;
        }
        false
    }

    fn packet_start(&self, packet: &Packet) -> Option<f64> {
        packet_seconds(packet, self.time_base)
    }

    fn fill_gap(&mut self) -> Result<(), AudioError> {
        let seconds = self.gap_seconds.min(MAX_GAP_FILL_SECONDS);
        self.gap_seconds -= seconds;
        if self.gap_seconds < f64::from(SAMPLE_RATE).recip() {
            self.gap_seconds = 0.0;
        }
        match &mut self.track_decoder {
            TrackDecoder::Opus(_) => {
                let samples = (seconds * f64::from(SAMPLE_RATE)) as usize;
                self.block.resize(self.block.len() + samples, 0.0);
                Ok(())
            }
            TrackDecoder::Codec(stream) => stream.push_silence(seconds, &mut self.block),
        }
    }

    fn decode_packet(&mut self, packet: Packet) -> Result<(), AudioError> {
        let start = self.packet_start(&packet);
        let decoded = match &mut self.track_decoder {
            TrackDecoder::Opus(stream) => {
                let trim_end = packet.trim_end.get();
                let length = stream.push(&packet.data, trim_end, &mut self.block);
                Some((length, OPUS_RATE))
            }
            TrackDecoder::Codec(stream) => stream.push(packet, &mut self.block)?,
        };
        match decoded {
            Some((frames, rate)) => {
                let seconds = frames as f64 / f64::from(rate);
                let clock = self.next_packet_time.or(start);
                self.next_packet_time = clock.map(|clock| clock + seconds);
                self.empty_packets = 0;
            }
            None => {
                self.empty_packets += 1;
                if self.empty_packets > MAX_EMPTY_PACKETS {
                    return Err(AudioError::Damaged {
                        reason: "no packet can be decoded".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Start of a packet in seconds.
fn packet_seconds(packet: &Packet, base: Option<TimeBase>) -> Option<f64> {
    let base = base?;
    let ticks = packet.pts.get() as f64;
    let start = ticks * f64::from(base.numer.get()) / f64::from(base.denom.get());
    start.is_finite().then_some(start)
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("info", &self.info)
            .field("given", &self.samples_emitted)
            .finish_non_exhaustive()
    }
}

/// Runs `work` and turns a panic into an error. The demuxers and decoders are fuzzed, but not to
/// our standards, and no recording may crash the process.
fn catch_panic<T>(work: impl FnOnce() -> Result<T, AudioError>) -> Result<T, AudioError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(AudioError::Damaged {
            reason: "the decoder stumbled over it".to_owned(),
        })
    })
}
