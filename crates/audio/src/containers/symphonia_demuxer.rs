//! symphonia's own demuxers, for all other containers.

use symphonia::core::errors::Result;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader, Track};
use symphonia::core::io::{MediaSource, MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::packet::Packet;

use super::Demuxer;

/// Detects the container and opens symphonia's demuxer for it.
pub(crate) fn probe(source: Box<dyn MediaSource>) -> Result<Box<dyn FormatReader>> {
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    symphonia::default::get_probe().probe(
        &Hint::new(),
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )
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
