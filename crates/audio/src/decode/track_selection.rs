//! Selects the audio track to decode and creates its decoder.

use std::time::Duration;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, CODEC_ID_NULL_AUDIO};
use symphonia::core::formats::{Track, TrackFlags, TrackType};
use symphonia::core::units::TimeBase;

use super::codec_stream::{CodecStream, Trim};
use super::matroska_tail;
use super::opus_stream::{OPUS_RATE, OpusHead, OpusStream};
use crate::codecs::{self, aac};
use crate::containers::{AudibleExtent, Demuxer};
use crate::{AudioError, Recording, SAMPLE_RATE, samples_to_duration};

/// Maximum padding at the end of a Matroska file that is believed, in samples at [`SAMPLE_RATE`]:
/// more than a block of any codec.
const MAX_PADDING_SAMPLES: usize = SAMPLE_RATE as usize;

/// Format of a recording, as declared by the file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AudioInfo {
    /// The container: "ogg", "wave".
    pub container: &'static str,
    /// The codec: "opus", "mp3".
    pub codec: String,
    /// Original sample rate in Hz, if declared.
    pub sample_rate: Option<u32>,
    /// Original number of channels, if declared.
    pub channels: Option<usize>,
    /// Declared playing time.
    pub declared_duration: Option<Duration>,
}

/// The decoder of a track.
pub(crate) enum TrackDecoder {
    Opus(OpusStream),
    Codec(CodecStream),
}

/// A track with its decoder.
pub(crate) struct SelectedTrack {
    pub(crate) info: AudioInfo,
    pub(crate) track: u32,
    pub(crate) time_base: Option<TimeBase>,
    pub(crate) decoder: TrackDecoder,
    /// Samples at [`SAMPLE_RATE`] up to the end of the audio, if the container declares it.
    pub(crate) samples_left: Option<u64>,
    /// Padding at the end, in samples at [`SAMPLE_RATE`].
    pub(crate) padding_samples: usize,
    /// Whether the file is known to end on an element boundary.
    pub(crate) ends_at_element: bool,
    /// Expected start of the first packet, in seconds on the track's clock, if known.
    pub(crate) start_seconds: Option<f64>,
    /// Number of audio tracks that can be decoded.
    pub(crate) audio_track_count: usize,
}

/// Selects the default audio track, or else the first that can be decoded. If the recording asks
/// for another audio track, selects the one at that index after it.
pub(crate) fn select_track(
    format: &mut dyn Demuxer,
    container: &'static str,
    recording: &Recording,
) -> Result<SelectedTrack, AudioError> {
    let audio = |track: &&Track| track.track_type() == Some(TrackType::Audio);
    let mut tracks: Vec<&Track> = format.tracks().iter().filter(audio).collect();
    tracks.sort_by_key(|track| !track.flags.contains(TrackFlags::DEFAULT));
    let mut unsupported = None;
    let mut found = None;
    let mut audio_track_count = 0;
    for track in tracks {
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
            continue;
        };
        let extent = format.audible_extent(track.id);
        match track_decoder(track, parameters, container, extent)? {
            Some(stream) => {
                if audio_track_count == recording.audio_track() || found.is_none() {
                    found = Some((track.clone(), extent, stream));
                }
                audio_track_count += 1;
            }
            None if parameters.codec != CODEC_ID_NULL_AUDIO => {
                unsupported.get_or_insert_with(|| codecs::track_codec_name(parameters));
            }
            None => {}
        }
    }
    let Some((track, extent, decoder)) = found else {
        return Err(match unsupported {
            Some(codec) => AudioError::UnsupportedCodec { codec },
            None => AudioError::NoAudioTrack,
        });
    };
    format.select_track(track.id);
    let Some(CodecParameters::Audio(parameters)) = &track.codec_params else {
        return Err(AudioError::NoAudioTrack);
    };
    let tail = match container {
        "matroska" if !recording.is_growing() => matroska_tail::read_tail(recording, track.id),
        _ => None,
    };
    let mut info = track_info(&track, parameters, container);
    let samples_left =
        extent.and_then(|extent| ticks_to_samples(extent.length?, track.time_base?, SAMPLE_RATE));
    if let Some(left) = samples_left {
        info.declared_duration = Some(samples_to_duration(left));
    }
    let start_seconds = extent.and_then(|extent| {
        let base = track.time_base?;
        let ticks = extent.skip as f64 * f64::from(base.numer.get());
        Some(-ticks / f64::from(base.denom.get()))
    });
    Ok(SelectedTrack {
        info,
        samples_left,
        padding_samples: tail.map_or(0, |tail| padding_samples(tail.padding_nanos)),
        ends_at_element: tail.is_some(),
        track: track.id,
        // Timestamps of these containers are guessed from the size of the first packets.
        time_base: track.time_base.filter(|_| !has_guessed_length(container)),
        decoder,
        start_seconds,
        audio_track_count,
    })
}

fn track_decoder(
    track: &Track,
    parameters: &AudioCodecParameters,
    container: &str,
    extent: Option<AudibleExtent>,
) -> Result<Option<TrackDecoder>, AudioError> {
    if parameters.codec == CODEC_ID_OPUS {
        let head = parameters.extra_data.as_deref().and_then(OpusHead::parse);
        let head = head.unwrap_or_else(OpusHead::default_head);
        return OpusStream::new(&head).map(|stream| Some(TrackDecoder::Opus(stream)));
    }
    let (core, config) = aac::core_parameters(parameters);
    let parameters = &core;
    let frames_in = |ticks: u64| match (track.time_base, parameters.sample_rate) {
        (Some(base), Some(rate)) => ticks_to_samples(ticks, base, rate),
        _ => Some(ticks),
    };
    // All other containers declare the encoder delay per packet.
    let skip = match container {
        "caf" => u64::from(track.delay.unwrap_or(0)),
        _ => extent
            .and_then(|extent| frames_in(extent.skip))
            .unwrap_or(0),
    };
    let padding = match has_guessed_length(container) {
        true => u64::from(track.padding.unwrap_or(0)),
        false => u64::MAX,
    };
    let early = config.map_or(0, aac::AudioSpecificConfig::core_lead_samples);
    let trim = Trim {
        skip: skip.saturating_sub(early),
        lead_silence: early.saturating_sub(skip),
        padding,
    };
    Ok(CodecStream::new(parameters, trim).map(TrackDecoder::Codec))
}

/// Whether the container declares no length, so that symphonia guesses it from the size of the
/// first packets.
fn has_guessed_length(container: &str) -> bool {
    matches!(container, "mp1" | "mp2" | "mp3" | "aac")
}

/// Converts clock ticks to samples at `rate`, rounded up.
fn ticks_to_samples(ticks: u64, base: TimeBase, rate: u32) -> Option<u64> {
    let samples = u128::from(ticks) * u128::from(base.numer.get()) * u128::from(rate);
    u64::try_from(samples.div_ceil(u128::from(base.denom.get()))).ok()
}

/// Converts padding in nanoseconds to samples at [`SAMPLE_RATE`]. Rounds at 48 kHz first, the clock
/// rate of Opus.
fn padding_samples(nanoseconds: u64) -> usize {
    let at_48_khz = (u128::from(nanoseconds) * u128::from(OPUS_RATE) + 500_000_000) / 1_000_000_000;
    let samples = at_48_khz / u128::from(OPUS_RATE / SAMPLE_RATE);
    usize::try_from(samples)
        .ok()
        .filter(|samples| *samples <= MAX_PADDING_SAMPLES)
        .unwrap_or(0)
}

fn track_info(
    track: &Track,
    parameters: &AudioCodecParameters,
    container: &'static str,
) -> AudioInfo {
    let by_time = track
        .duration
        .zip(track.time_base)
        .and_then(|(duration, base)| base.calc_duration(duration))
        .map(|time| time.as_secs_f64());
    let by_frames = track
        .num_frames
        .zip(parameters.sample_rate)
        .filter(|(_, rate)| *rate > 0)
        .map(|(frames, rate)| frames as f64 / f64::from(rate));
    let channels = match parameters.extra_data.as_deref().and_then(OpusHead::parse) {
        Some(head) => Some(head.channel_count()),
        None => parameters
            .channels
            .as_ref()
            .map(symphonia::core::audio::Channels::count),
    };
    AudioInfo {
        container,
        codec: codecs::track_codec_name(parameters),
        sample_rate: parameters.sample_rate,
        channels,
        declared_duration: by_time
            .or(by_frames)
            .filter(|_| !has_guessed_length(container) || track.delay.is_some())
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
    }
}
