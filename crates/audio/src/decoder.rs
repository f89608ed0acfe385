//! A recording as a stream of blocks, with constant memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use symphonia::core::errors::Error;
use symphonia::core::packet::Packet;
use symphonia::core::units::TimeBase;

use super::containers::{Demuxer, ended};
use super::open::{Opened, looks_encrypted, open, unknown_codec};
use super::opus::OPUS_RATE;
use super::pcm::duration_to_samples;
use super::track::{Chosen, Info, Stream, choose};
use super::{AudioError, Limits, Recording, SAMPLE_RATE, matroska, ogg};

/// A hole in the time stamps that is longer than this is filled with silence, so that what comes
/// after it keeps its time. Shorter ones are rounding.
const HOLE: f64 = 0.2;

/// The most silence that is put into one hole before the next packet, in seconds: more comes in
/// further blocks, so that memory stays bounded.
const SILENCE_AT_ONCE: f64 = 10.0;

/// A recording has at least this many bytes a second, however well it is compressed. A claim of
/// more seconds than that is wrong, and only what is decoded counts.
const LEAST_BYTES_A_SECOND: u64 = 100;

/// Packets in a row that give nothing before a file counts as broken.
const MAX_FRUITLESS_PACKETS: u32 = 10_000;

/// Streams chained behind one another in one file.
const MAX_CHAINED: usize = 1_000;

/// Decodes a recording block by block into mono samples at [`SAMPLE_RATE`].
///
/// Blocking: belongs on a thread of its own. Memory does not grow with the length.
pub struct Decoder {
    format: Box<dyn Demuxer>,
    recording: Recording,
    info: Info,
    track: u32,
    time_base: Option<TimeBase>,
    stream: Stream,
    /// Samples that may still come, if the container says where the sound ends.
    left: Option<u64>,
    /// How many samples at the end are padding.
    padding: usize,
    /// The last samples so far, as many as may be padding.
    held: Vec<f32>,
    /// Whether the file is known to end at the end of an element.
    ends_whole: bool,
    /// Whether it was still being made when it was opened.
    grew: bool,
    block: Vec<f32>,
    given: u64,
    most: u64,
    limits: Limits,
    /// When the next packet should begin, in seconds of the track's own clock.
    clock: Option<f64>,
    /// When the first packet of another track begins, in seconds.
    earliest: Option<f64>,
    /// Sound tracks that can be decoded.
    sound_tracks: usize,
    /// Whether there is a pause before the sound.
    begins_late: bool,
    /// Silence that is still to be put before `waiting`, in seconds.
    hole: f64,
    waiting: Option<Packet>,
    truncated: bool,
    over: bool,
    fruitless: u32,
    chained: usize,
    known_start: bool,
    /// What the file is, if that is nothing that can be taken apart.
    kind: Option<&'static str>,
}

impl Decoder {
    /// Opens a recording and finds the track with the speech: the default audio track, or the
    /// first that can be decoded.
    ///
    /// # Errors
    ///
    /// All of [`AudioError`] but those that need decoding to be found.
    pub fn open(recording: &Recording, limits: &Limits) -> Result<Self, AudioError> {
        contained(|| Self::open_uncontained(recording, limits))
    }

    fn open_uncontained(recording: &Recording, limits: &Limits) -> Result<Self, AudioError> {
        let grew = recording.is_growing();
        let Opened {
            mut format,
            bytes,
            known_start,
            kind,
        } = open(recording, limits)?;
        if format.tracks().len() > limits.tracks {
            return Err(AudioError::TooManyTracks {
                limit: limits.tracks,
            });
        }
        let container = format.name();
        let chosen =
            choose(format.as_mut(), container, recording).map_err(|error| match error {
                AudioError::NoAudioTrack | AudioError::UnsupportedCodec { .. }
                    if container == "isomp4" && looks_encrypted(recording) =>
                {
                    AudioError::Encrypted
                }
                // What has no name here has one in the file.
                AudioError::NoAudioTrack => match unknown_codec(recording, container) {
                    Some(codec) => AudioError::UnsupportedCodec { codec },
                    None => error,
                },
                error => error,
            })?;
        if let Some(claimed) = chosen.info.claimed
            && !grew
            && claimed > limits.duration
            && bytes / claimed.as_secs().max(1) >= LEAST_BYTES_A_SECOND
        {
            return Err(AudioError::TooLong {
                limit: limits.duration,
            });
        }
        let Chosen {
            info,
            track,
            time_base,
            stream,
            left,
            padding,
            ends_whole,
            begins,
            sound_tracks,
        } = chosen;
        Ok(Self {
            format,
            recording: recording.clone(),
            info,
            track,
            time_base,
            stream,
            left,
            padding,
            held: Vec::new(),
            ends_whole,
            grew,
            block: Vec::new(),
            given: 0,
            most: duration_to_samples(limits.duration),
            limits: limits.clone(),
            clock: begins,
            earliest: None,
            sound_tracks,
            begins_late: false,
            hole: 0.0,
            waiting: None,
            truncated: false,
            over: false,
            fruitless: 0,
            chained: 1,
            known_start,
            kind,
        })
    }

    /// What the recording is. Of several streams behind one another: the first.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// How many sound tracks the recording has that can be decoded.
    pub(super) fn sound_tracks(&self) -> usize {
        self.sound_tracks
    }

    /// Whether what is heard is not what a file gives to whoever takes its first sound track from
    /// where that begins.
    pub(super) fn is_rearranged(&self) -> bool {
        self.begins_late || self.recording.sound_track() > 0
    }

    /// Whether the file turned out to end in the middle of something. Known after the last block.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// The next samples, mono at [`SAMPLE_RATE`], never empty; none at the end.
    ///
    /// # Errors
    ///
    /// [`AudioError::TooLong`] once more has been decoded than allowed, [`AudioError::Damaged`]
    /// if nothing could be decoded at all, [`AudioError::Unreadable`] if the disk fails.
    pub fn next_block(&mut self) -> Result<Option<&[f32]>, AudioError> {
        self.block.clear();
        let filled = contained(AssertUnwindSafe(|| self.fill()));
        if let Err(error) = filled {
            self.over = true;
            // Whatever came before the damage is of use; without it there is nothing.
            if self.given == 0 || !matches!(error, AudioError::Damaged { .. }) {
                return Err(error);
            }
            self.truncated = true;
            self.block.clear();
        }
        if self.block.is_empty() {
            if self.given == 0 {
                // A proper file with nothing in it is only short.
                if self.known_start && !self.truncated && self.fruitless == 0 {
                    return Err(AudioError::TooShort {
                        duration: std::time::Duration::ZERO,
                    });
                }
                return Err(match (self.known_start, self.kind) {
                    (_, Some(kind)) => AudioError::UnsupportedFile { kind },
                    (true, None) => AudioError::Damaged {
                        reason: "nothing could be decoded".to_owned(),
                    },
                    (false, None) => AudioError::NotAudio,
                });
            }
            return Ok(None);
        }
        self.given += self.block.len() as u64;
        if self.given > self.most {
            self.over = true;
            return Err(AudioError::TooLong {
                limit: self.limits.duration,
            });
        }
        Ok(Some(&self.block))
    }

    fn fill(&mut self) -> Result<(), AudioError> {
        while self.block.is_empty() && !self.over {
            if self.hole > 0.0 {
                self.fill_hole()?;
                self.trim();
                continue;
            }
            let packet = match self.waiting.take() {
                Some(packet) => Some(packet),
                None => self.next_packet()?,
            };
            match packet {
                None => self.end()?,
                Some(packet) if self.leaves_hole(&packet) => self.waiting = Some(packet),
                Some(packet) => self.decode(packet)?,
            }
            self.trim();
        }
        Ok(())
    }

    /// Takes from the block what the container says is behind the end of the sound.
    fn trim(&mut self) {
        if self.padding > 0 {
            self.held.append(&mut self.block);
            let sound = self.held.len().saturating_sub(self.padding);
            self.block.extend(self.held.drain(..sound));
        }
        if let Some(left) = &mut self.left {
            let most = usize::try_from(*left).unwrap_or(usize::MAX);
            self.block.truncate(most);
            *left -= self.block.len() as u64;
            self.over |= *left == 0;
        }
    }

    /// The next packet of the track, across chained streams.
    fn next_packet(&mut self) -> Result<Option<Packet>, AudioError> {
        loop {
            match self.format.next_packet() {
                Ok(Some(packet)) if packet.track_id == self.track => {
                    self.begin(&packet);
                    return Ok(Some(packet));
                }
                Ok(Some(packet)) => self.pass_over(&packet),
                Ok(None) => return Ok(None),
                Err(Error::ResetRequired) => self.restart()?,
                // The end of a file that was written as it was recorded, its length unknown.
                Err(error) if ended(&error) && self.is_whole() => return Ok(None),
                Err(Error::IoError(error)) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
                    return Err(AudioError::Unreadable(error));
                }
                // The file ends too early or goes on as something else.
                Err(_) => {
                    self.truncated = true;
                    return Ok(None);
                }
            }
        }
    }

    /// What is of another track tells when the recording begins, for a sound track that begins
    /// later.
    fn pass_over(&mut self, packet: &Packet) {
        if self.clock.is_some() || self.earliest.is_some() {
            return;
        }
        let mut tracks = self.format.tracks().iter();
        let base = tracks.find(|track| track.id == packet.track_id);
        self.earliest = seconds(packet, base.and_then(|track| track.time_base));
    }

    fn begin(&mut self, packet: &Packet) {
        if self.clock.is_none()
            && let Some(earliest) = self.earliest
            && let Some(start) = self.start_of(packet)
        {
            self.clock = Some(earliest.min(start));
        }
    }

    /// Whether a file that ends without saying so is whole: it ends where an element or page does.
    /// How much of the last block is padding comes too late if it was still being made when it was
    /// opened: that much silence is kept.
    fn is_whole(&self) -> bool {
        match self.info.container {
            "matroska" if self.grew => matroska::tail(&self.recording, self.track).is_some(),
            "ogg" => ogg::ends_whole(&self.recording),
            _ => self.ends_whole,
        }
    }

    /// A further stream begins behind the first.
    fn restart(&mut self) -> Result<(), AudioError> {
        self.finish_stream()?;
        self.chained += 1;
        if self.chained > MAX_CHAINED {
            return Err(AudioError::TooManyTracks { limit: MAX_CHAINED });
        }
        let chosen = choose(self.format.as_mut(), self.info.container, &self.recording)?;
        self.track = chosen.track;
        self.time_base = chosen.time_base;
        self.stream = chosen.stream;
        self.clock = chosen.begins;
        Ok(())
    }

    fn end(&mut self) -> Result<(), AudioError> {
        self.over = true;
        self.finish_stream()
    }

    fn finish_stream(&mut self) -> Result<(), AudioError> {
        match &mut self.stream {
            // What an Opus stream holds back at its end is padding.
            Stream::Opus(_) => Ok(()),
            Stream::Codec(stream) => stream.finish(&mut self.block),
        }
    }

    /// Whether time is missing before `packet`; remembers how much.
    fn leaves_hole(&mut self, packet: &Packet) -> bool {
        let (Some(clock), Some(start)) = (self.clock, self.start_of(packet)) else {
            return false;
        };
        let missing = start - clock;
        if missing > HOLE {
            self.hole = missing;
            self.begins_late |= self.given == 0;
            self.clock = Some(start);
            return true;
        }
        false
    }

    fn start_of(&self, packet: &Packet) -> Option<f64> {
        seconds(packet, self.time_base)
    }

    fn fill_hole(&mut self) -> Result<(), AudioError> {
        let seconds = self.hole.min(SILENCE_AT_ONCE);
        self.hole -= seconds;
        if self.hole < f64::from(SAMPLE_RATE).recip() {
            self.hole = 0.0;
        }
        match &mut self.stream {
            Stream::Opus(_) => {
                let samples = (seconds * f64::from(SAMPLE_RATE)) as usize;
                self.block.resize(self.block.len() + samples, 0.0);
                Ok(())
            }
            Stream::Codec(stream) => stream.silence(seconds, &mut self.block),
        }
    }

    fn decode(&mut self, packet: Packet) -> Result<(), AudioError> {
        let start = self.start_of(&packet);
        let decoded = match &mut self.stream {
            Stream::Opus(stream) => {
                let trim_end = packet.trim_end.get();
                let length = stream.push(&packet.data, trim_end, &mut self.block);
                Some((length, OPUS_RATE))
            }
            Stream::Codec(stream) => stream.push(packet, &mut self.block)?,
        };
        match decoded {
            Some((frames, rate)) => {
                let seconds = frames as f64 / f64::from(rate);
                let clock = self.clock.or(start);
                self.clock = clock.map(|clock| clock + seconds);
                self.fruitless = 0;
            }
            None => {
                self.fruitless += 1;
                if self.fruitless > MAX_FRUITLESS_PACKETS {
                    return Err(AudioError::Damaged {
                        reason: "no packet can be decoded".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// When a packet begins, in seconds.
fn seconds(packet: &Packet, base: Option<TimeBase>) -> Option<f64> {
    let base = base?;
    let ticks = packet.pts.get() as f64;
    let start = ticks * f64::from(base.numer.get()) / f64::from(base.denom.get());
    start.is_finite().then_some(start)
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("info", &self.info)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

/// Runs `work`; a panic in it becomes an error. The libraries below are fuzzed but not by us
/// alone, and no recording may take the process down.
fn contained<T>(work: impl FnOnce() -> Result<T, AudioError>) -> Result<T, AudioError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(AudioError::Damaged {
            reason: "the decoder stumbled over it".to_owned(),
        })
    })
}
