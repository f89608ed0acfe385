//! Containers that symphonia does not take apart, or not as people's files need it.
//!
//! Each hands out symphonia's tracks and packets, and depends on nothing else of ours but
//! [`Source`], so that it could be offered there.

mod blocks;
mod fields;
mod framed;
mod source;
mod wave;
mod waveformat;

use symphonia::core::errors::Result;
use symphonia::core::formats::{FormatReader, Track};
use symphonia::core::packet::Packet;

pub(super) use fields::ended;
pub(super) use source::Source;
pub(super) use wave::{Wave, is_wave};

/// What takes a container apart.
pub(super) trait Demuxer: Send {
    /// The container's short name, as symphonia gives them.
    fn name(&self) -> &'static str;

    /// Its tracks. After [`Error::ResetRequired`](symphonia::core::errors::Error::ResetRequired)
    /// they are others.
    fn tracks(&self) -> &[Track];

    /// The next packet of any track; none at the end.
    fn next_packet(&mut self) -> Result<Option<Packet>>;
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
