//! MP4, M4A, 3GP and QuickTime files (ISO/IEC 14496-12, Apple's QTFF).
//!
//! symphonia 0.6 ignores edit lists, so tracks that start late get the wrong time. It also lacks
//! AMR and ISO PCM, returns uncompressed audio frame by frame, and refuses files without an `ftyp`
//! box, as QuickTime wrote them.

mod boxes;
mod edit_list;
mod movie;
mod sample_entry;
mod sample_table;

use std::collections::VecDeque;
use std::io::{self, Seek, SeekFrom};

use symphonia::core::codecs::CodecParameters;
use symphonia::core::errors::{Error, Result};
use symphonia::core::formats::{Track, TrackFlags};
use symphonia::core::packet::Packet;
use symphonia::core::units::{Duration, TimeBase, Timestamp};

use super::{AudibleExtent, Demuxer, RecordingSource};
use boxes::{Mp4Box, children};
use movie::{Movie, Trak};
use sample_entry::{FRAMES_PER_PACKET, SamplePacking};
use sample_table::{FragmentDefaults, Mp4Sample, parse_track_fragment};

/// Maximum number of boxes read from a file.
const MAX_BOXES: usize = 1_000_000;

/// Maximum size of the `moov` box or of a `moof` box, which are read into memory.
const MAX_HEADER_BYTES: u64 = 64 * 1024 * 1024;

/// Maximum size of a packet.
const MAX_PACKET_BYTES: u64 = 16 * 1024 * 1024;

/// Types that the first box of a file may have.
const FIRST_BOXES: [&[u8; 4]; 4] = [b"ftyp", b"moov", b"mdat", b"wide"];

/// Whether a file with this start is an MP4 or QuickTime file.
pub(crate) fn is_mp4(start: &[u8]) -> bool {
    start
        .get(4..8)
        .is_some_and(|kind| FIRST_BOXES.iter().any(|first| kind == *first))
}

/// An MP4 or QuickTime file.
pub(crate) struct Mp4Demuxer {
    source: RecordingSource,
    movie: Movie,
    tracks: Vec<Track>,
    /// Index of the track whose packets are read.
    selected_track: usize,
    /// Samples of the current fragment.
    fragment_samples: VecDeque<Mp4Sample>,
    /// A sample that was read ahead and belongs to the next packet.
    peeked_sample: Option<Mp4Sample>,
    /// Offset where the search for the next fragment continues.
    next_box: u64,
    boxes: usize,
    /// Start of the next fragment if it does not declare one, in ticks of the track's clock.
    next_time: i64,
    /// Start of the first fragment in seconds.
    origin: Option<f64>,
}

impl Mp4Demuxer {
    /// Finds and reads the `moov` box.
    pub(crate) fn open(mut source: RecordingSource) -> Result<Box<dyn Demuxer>> {
        let mut at = 0;
        let mut first_fragment = None;
        let mut movie = None;
        let mut boxes = 0;
        while movie.is_none() && boxes < MAX_BOXES {
            boxes += 1;
            let Some(found) = Mp4Box::read(&mut source, at)? else {
                break;
            };
            match &found.kind {
                b"moov" => {
                    let bytes = read_box_content(&mut source, &found)?;
                    movie = Movie::parse(&bytes);
                }
                b"moof" => {
                    first_fragment.get_or_insert(at);
                }
                _ => {}
            }
            match found.end {
                Some(end) => at = end,
                None => break,
            }
        }
        let movie = movie.ok_or(Error::DecodeError("mp4: no head"))?;
        let tracks = movie
            .tracks
            .iter()
            .map(|trak| make_track(trak, &movie))
            .collect();
        Ok(Box::new(Self {
            source,
            movie,
            tracks,
            selected_track: 0,
            fragment_samples: VecDeque::new(),
            peeked_sample: None,
            next_box: first_fragment.unwrap_or(at),
            boxes: 0,
            next_time: 0,
            origin: None,
        }))
    }

    fn trak(&self) -> Option<&Trak> {
        self.movie.tracks.get(self.selected_track)
    }

    fn next_sample(&mut self) -> Result<Option<Mp4Sample>> {
        if let Some(sample) = self.peeked_sample.take() {
            return Ok(Some(sample));
        }
        let Some(trak) = self.movie.tracks.get_mut(self.selected_track) else {
            return Ok(None);
        };
        if let Some(sample) = trak.table.next() {
            self.next_time = sample.start_time + i64::from(sample.ticks);
            return Ok(Some(sample));
        }
        while self.fragment_samples.is_empty() {
            if !self.movie.is_fragmented || !self.next_fragment()? {
                return Ok(None);
            }
        }
        Ok(self.fragment_samples.pop_front())
    }

    /// Reads the next fragment; `false` if there is none.
    fn next_fragment(&mut self) -> Result<bool> {
        while self.boxes < MAX_BOXES {
            self.boxes += 1;
            let at = self.next_box;
            let Some(found) = Mp4Box::read(&mut self.source, at)? else {
                return Ok(false);
            };
            self.next_box = found.end.unwrap_or(u64::MAX);
            if &found.kind == b"moof" {
                let bytes = read_box_content(&mut self.source, &found)?;
                self.add_fragment(&bytes, at);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn add_fragment(&mut self, moof: &[u8], at: u64) {
        let tracks = &self.movie.tracks;
        let of = |id: u32| tracks.iter().find(|trak| trak.id == id);
        let defaults = |id| of(id).map_or_else(FragmentDefaults::default, |trak| trak.defaults);
        let runs: Vec<_> = children(moof)
            .filter(|(kind, _)| kind == b"traf")
            .filter_map(|(_, traf)| parse_track_fragment(traf, at, defaults))
            .collect();
        let seconds = |run: &sample_table::TrackFragment| {
            let scale = f64::from(of(run.track)?.time_scale);
            Some(run.start_time? as f64 / scale)
        };
        let origin = *self.origin.get_or_insert_with(|| {
            let first = runs.iter().filter_map(seconds).reduce(f64::min);
            first.unwrap_or(0.0)
        });
        let Some(trak) = tracks.get(self.selected_track) else {
            return;
        };
        let origin = (origin * f64::from(trak.time_scale)) as i64;
        for run in runs.into_iter().filter(|run| run.track == trak.id) {
            let start = run
                .start_time
                .map_or(self.next_time, |start| start.saturating_sub(origin));
            for mut sample in run.samples {
                sample.start_time = sample.start_time.saturating_add(start);
                self.next_time = sample.start_time.saturating_add(i64::from(sample.ticks));
                self.fragment_samples.push_back(sample);
            }
        }
    }

    /// Merges the contiguous blocks of uncompressed audio that follow `sample` into it.
    fn merge_following(
        &mut self,
        sample: &mut Mp4Sample,
        blocks: &mut u32,
        most: u32,
    ) -> Result<()> {
        while *blocks < most {
            let Some(next) = self.next_sample()? else {
                return Ok(());
            };
            let follows = sample.offset.checked_add(u64::from(sample.size)) == Some(next.offset);
            match sample.size.checked_add(next.size).filter(|_| follows) {
                Some(size) => {
                    sample.size = size;
                    sample.ticks = sample.ticks.saturating_add(next.ticks);
                    *blocks += 1;
                }
                None => {
                    self.peeked_sample = Some(next);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

impl Demuxer for Mp4Demuxer {
    fn name(&self) -> &'static str {
        "isomp4"
    }

    fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    fn select_track(&mut self, track: u32) {
        let found = self.movie.tracks.iter().position(|trak| trak.id == track);
        self.selected_track = found.unwrap_or(usize::MAX);
    }

    fn audible_extent(&self, track: u32) -> Option<AudibleExtent> {
        let trak = self.movie.tracks.iter().find(|trak| trak.id == track)?;
        let (start, lead) = (trak.edits.media_start(), trak.edits.presentation_start());
        // The durations of the packets add up to the exact end of the audio.
        let packets = i64::try_from(trak.table.total_ticks()).ok();
        let end = trak.edits.media_end().into_iter().chain(packets).min();
        let is_known =
            !self.movie.is_fragmented && !trak.edits.is_empty() && trak.edits.is_single();
        Some(AudibleExtent {
            skip: u64::try_from(start).ok()?,
            length: match is_known {
                true => end.and_then(|end| u64::try_from(end - start + lead).ok()),
                false => None,
            },
        })
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        loop {
            let Some(mut sample) = self.next_sample()? else {
                return Ok(None);
            };
            let Some(trak) = self.trak() else {
                return Ok(None);
            };
            let packing = trak
                .entry
                .as_ref()
                .map_or(SamplePacking::Packets, |entry| entry.packing);
            let id = trak.id;
            let mut blocks = 1;
            let mut ticks = u64::from(sample.ticks);
            if let SamplePacking::Blocks { frames, .. } = packing {
                let most = (FRAMES_PER_PACKET / frames.max(1)).max(1);
                self.merge_following(&mut sample, &mut blocks, most)?;
                // For block codecs the duration is the number of frames in the blocks.
                ticks = u64::from(blocks) * u64::from(frames);
            }
            let end = sample.start_time.saturating_add(i64::from(sample.ticks));
            let timestamp = self
                .trak()
                .and_then(|trak| trak.edits.presentation_time(sample.start_time, end));
            let Some(timestamp) = timestamp else {
                continue;
            };
            if u64::from(sample.size) > MAX_PACKET_BYTES {
                return Err(Error::DecodeError("mp4: a packet too large"));
            }
            self.source.seek(SeekFrom::Start(sample.offset))?;
            let data = super::byte_order::read_up_to(&mut self.source, u64::from(sample.size))?;
            if data.len() < sample.size as usize {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            let (timestamp, ticks) = (Timestamp::new(timestamp), Duration::new(ticks));
            return Ok(Some(Packet::new(id, timestamp, ticks, data)));
        }
    }
}

/// Reads the content of a box.
fn read_box_content(source: &mut RecordingSource, found: &Mp4Box) -> Result<Vec<u8>> {
    let size = found
        .end
        .map_or(MAX_HEADER_BYTES, |end| end.saturating_sub(found.start));
    if size > MAX_HEADER_BYTES {
        return Err(Error::DecodeError("mp4: a head too large"));
    }
    source.seek(SeekFrom::Start(found.start))?;
    let bytes = super::byte_order::read_up_to(source, size)?;
    if found.end.is_some() && (bytes.len() as u64) < size {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(bytes)
}

fn make_track(trak: &Trak, movie: &Movie) -> Track {
    let mut track = Track::new(trak.id);
    if let Some(base) = TimeBase::try_from_recip(trak.time_scale) {
        track.with_time_base(base);
    }
    if let Some(entry) = &trak.entry {
        track.with_codec_params(CodecParameters::Audio(entry.parameters.clone()));
    }
    if trak.is_enabled {
        track.with_flags(TrackFlags::DEFAULT);
    }
    if !movie.is_fragmented {
        track.with_duration(Duration::new(trak.table.total_ticks()));
    }
    track
}
