//! Demuxers for containers that symphonia lacks or does not handle well enough for files from
//! users.
//!
//! They return symphonia's tracks and packets. Of this crate they use only [`RecordingSource`], which
//! reads files that are still being written, and the tables of `codecs`.

mod ac3;
mod adts;
mod amr;
mod avi;
mod block_packetizer;
mod byte_order;
mod framed_stream;
mod mp4;
mod source;
mod symphonia_demuxer;
mod wave;
mod wave_format;

use symphonia::core::errors::Result;
use symphonia::core::formats::Track;
use symphonia::core::packet::Packet;

pub(super) use ac3::{Ac3Demuxer, SYNC_WORD};
pub(super) use adts::AdtsDemuxer;
pub(super) use amr::{AMR_MAGIC, AmrDemuxer};
pub(super) use avi::{AviDemuxer, is_avi};
pub(super) use byte_order::is_unexpected_eof;
pub(super) use mp4::{Mp4Demuxer, is_mp4};
pub(super) use source::RecordingSource;
pub(super) use symphonia_demuxer::probe;
pub(super) use wave::{WaveDemuxer, is_wave};

/// Splits a container into tracks and packets.
pub(super) trait Demuxer: Send {
    /// Short name of the container, the same as symphonia's where it has one.
    fn name(&self) -> &'static str;

    /// The tracks. They change after
    /// [`Error::ResetRequired`](symphonia::core::errors::Error::ResetRequired).
    fn tracks(&self) -> &[Track];

    /// The next packet of any track; `None` at the end.
    fn next_packet(&mut self) -> Result<Option<Packet>>;

    /// Restricts [`next_packet`](Self::next_packet) to this track, where the demuxer supports it.
    fn select_track(&mut self, _track: u32) {}

    /// The part of a track that is played, if the container declares it.
    fn audible_extent(&self, _track: u32) -> Option<AudibleExtent> {
        None
    }
}

/// The part of a track that is played, in ticks of its clock. Packet timestamps are presentation
/// times, counted from 0.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AudibleExtent {
    /// Length of the leading part that is not played.
    pub(super) skip: u64,
    /// Duration including a pause before the audio; `None` means up to the last packet.
    pub(super) length: Option<u64>,
}
