//! Containers that symphonia does not take apart, or not as people's files need it.
//!
//! Each hands out symphonia's tracks and packets, and depends on nothing else of ours but
//! [`Source`], so that it could be offered there.

mod ac3;
mod adts;
mod amr;
mod avi;
mod block_packetizer;
mod byte_order;
mod framed_stream;
mod mp4;
mod source;
mod wave;
mod wave_format;

use symphonia::core::errors::Result;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::packet::Packet;

pub(super) use ac3::{Ac3Demuxer, SYNC_WORD};
pub(super) use adts::AdtsDemuxer;
pub(super) use amr::{AMR_MAGIC, AmrDemuxer};
pub(super) use avi::{AviDemuxer, is_avi};
pub(super) use byte_order::is_unexpected_eof;
pub(super) use mp4::{Mp4Demuxer, is_mp4};
pub(super) use source::RecordingSource;
pub(super) use wave::{WaveDemuxer, is_wave};

/// What takes a container apart.
pub(super) trait Demuxer: Send {
    /// The container's short name, as symphonia gives them.
    fn name(&self) -> &'static str;

    /// Its tracks. After [`Error::ResetRequired`](symphonia::core::errors::Error::ResetRequired)
    /// they are others.
    fn tracks(&self) -> &[Track];

    /// The next packet of any track; none at the end.
    fn next_packet(&mut self) -> Result<Option<Packet>>;

    /// From now on only packets of this track are wanted.
    fn select_track(&mut self, _track: u32) {}

    /// Which part of a track is heard, if the container says so.
    fn audible_extent(&self, _track: u32) -> Option<AudibleExtent> {
        None
    }
}

/// Which part of a track is heard, in ticks of its clock. Its packets tell when they are heard,
/// counted from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AudibleExtent {
    /// What was recorded before the sound.
    pub(super) skip: u64,
    /// How long all of it is, with a pause before it; none: up to the last packet.
    pub(super) length: Option<u64>,
}

impl Demuxer for Box<dyn FormatReader> {
    fn name(&self) -> &'static str {
        self.format_info().short_name
    }

    fn tracks(&self) -> &[Track] {
        self.as_ref().tracks()
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        self.as_mut().next_packet()
    }
}
