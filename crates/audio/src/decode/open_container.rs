//! Opens a recording, detects its container and chooses a demuxer.

use std::io::{self, BufReader, Read, Seek};
use std::sync::Arc;

use symphonia::core::errors::Error;
use symphonia::core::formats::FormatReader;
use symphonia::core::io::ReadOnlySource;

use super::unsupported_format;
use crate::containers::{
    AMR_MAGIC, Ac3Demuxer, AdtsDemuxer, AmrDemuxer, AviDemuxer, Demuxer, Mp4Demuxer,
    RecordingSource, SYNC_WORD, WaveDemuxer, is_avi, is_mp4, is_wave, probe,
};
use crate::recording::growth::{GrowingFile, Growth};
use crate::recording::unnamed_file::FileReader;
use crate::{AudioError, AudioLimits, Recording};

/// First bytes of a Matroska or WebM file.
const MATROSKA_SIGNATURE: &[u8] = b"\x1a\x45\xdf\xa3";

/// First bytes of an Ogg file.
const OGG_SIGNATURE: &[u8] = b"OggS";

/// Signatures of containers, each with its offset. A file without one that can't be opened is not
/// audio.
const KNOWN_SIGNATURES: &[(usize, &[u8])] = &[
    (0, OGG_SIGNATURE),
    (0, b"RIFF"),
    (0, b"RIFX"),
    (0, b"RF64"),
    (0, b"BW64"),
    (0, b"riff\x2E\x91\xCF\x11"),
    (0, b"fLaC"),
    (0, b"ID3"),
    (0, MATROSKA_SIGNATURE),
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (0, AMR_MAGIC),
    (0, SYNC_WORD),
    (0, b"FORM"),
    (0, b"caff"),
];

/// Bytes at the start of a file that are enough to detect its type.
const MAX_SIGNATURE_BYTES: u64 = unsupported_format::MAX_SIGNATURE_BYTES;

/// Bytes at either end of an MP4 file that are searched for encrypted sample entries.
const ENCRYPTION_SEARCH_BYTES: u64 = 1024 * 1024;

/// An opened container.
pub(crate) struct OpenedContainer {
    pub(crate) format: Box<dyn Demuxer>,
    /// Length of the file in bytes; for a growing one the bytes written so far.
    pub(crate) bytes: u64,
    /// Whether the file starts with a known signature. MPEG audio has none, so almost any file may
    /// be mistaken for it.
    pub(crate) has_known_signature: bool,
    /// The kind of file, if it is known to be one without a demuxer.
    pub(crate) unsupported_kind: Option<&'static str>,
}

/// Opens the file of `recording` and detects its type by its content, not its name.
pub(crate) fn open_container(
    recording: &Recording,
    limits: &AudioLimits,
) -> Result<OpenedContainer, AudioError> {
    let mut file = open_file(recording)?;
    let growth = recording.growth().cloned();
    let bytes = match &growth {
        Some(growth) => growth
            .wait_for(MAX_SIGNATURE_BYTES)
            .map_err(AudioError::Unreadable)?,
        None => file.length().map_err(AudioError::Unreadable)?,
    };
    if bytes == 0 {
        return Err(AudioError::Empty);
    }
    if bytes > limits.bytes {
        return Err(AudioError::TooManyBytes {
            limit: limits.bytes,
        });
    }
    let mut start = [0; MAX_SIGNATURE_BYTES as usize];
    let read = read_start(&mut file, &mut start).map_err(AudioError::Unreadable)?;
    let known = KNOWN_SIGNATURES.iter().any(|(at, mark)| {
        start[..read]
            .get(*at..)
            .is_some_and(|rest| rest.starts_with(mark))
    });
    let start = &start[..read];
    let kind = unsupported_format::detect_unsupported(start);
    let format = find_demuxer(recording, file, growth, start).map_err(|error| match error {
        Error::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            AudioError::Unreadable(error)
        }
        error => match (
            kind,
            unsupported_format::codec_in_ogg(start).filter(|_| start.starts_with(OGG_SIGNATURE)),
        ) {
            (Some(kind), _) => AudioError::UnsupportedFile { kind },
            (None, Some(codec)) => AudioError::UnsupportedCodec { codec },
            (None, None) if !known => AudioError::NotAudio,
            (None, None) => AudioError::Damaged {
                reason: error.to_string(),
            },
        },
    })?;
    Ok(OpenedContainer {
        format,
        bytes,
        has_known_signature: known,
        unsupported_kind: kind,
    })
}

/// Opens the demuxer for a file with this start.
fn find_demuxer(
    recording: &Recording,
    file: FileReader,
    growth: Option<Arc<Growth>>,
    start: &[u8],
) -> Result<Box<dyn Demuxer>, Error> {
    if is_wave(start) {
        return WaveDemuxer::open(RecordingSource::new(file, growth)?);
    }
    if is_mp4(start) {
        return Mp4Demuxer::open(RecordingSource::new(file, growth)?);
    }
    if is_avi(start) {
        return AviDemuxer::open(RecordingSource::new(file, growth)?);
    }
    if start.starts_with(SYNC_WORD) {
        return Ac3Demuxer::open(BufReader::new(RecordingSource::new(file, growth)?));
    }
    if start.starts_with(AMR_MAGIC) {
        return AmrDemuxer::open(RecordingSource::new(file, growth)?, start);
    }
    let format = match growth.clone() {
        Some(growth) => probe_growing(file, growth)?,
        None => probe(Box::new(file)).or_else(|error| {
            // symphonia refuses a seekable Matroska file that is shorter than declared, so retry
            // without seeking.
            if !start.starts_with(MATROSKA_SIGNATURE) {
                return Err(error);
            }
            probe(Box::new(ReadOnlySource::new(recording.open()?)))
        })?,
    };
    if format.format_info().short_name == "aac" {
        return AdtsDemuxer::open(RecordingSource::new(recording.open()?, growth)?);
    }
    Ok(Box::new(format))
}

fn open_file(recording: &Recording) -> Result<FileReader, AudioError> {
    recording.open().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => AudioError::NotFound,
        io::ErrorKind::IsADirectory => AudioError::Directory,
        io::ErrorKind::Unsupported => AudioError::NotAudio,
        _ => AudioError::Unreadable(error),
    })
}

fn read_start(file: &mut FileReader, start: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < start.len() {
        match file.read(&mut start[read..])? {
            0 => break,
            more => read += more,
        }
    }
    file.rewind()?;
    Ok(read)
}

fn probe_growing(file: FileReader, growth: Arc<Growth>) -> Result<Box<dyn FormatReader>, Error> {
    probe(Box::new(ReadOnlySource::new(GrowingFile::new(
        file, growth,
    ))))
}

/// The container's own name for a codec that symphonia can't identify.
pub(crate) fn unknown_codec(recording: &Recording, container: &str) -> Option<String> {
    let mut start = Vec::new();
    let file = recording.open().ok()?;
    file.take(ENCRYPTION_SEARCH_BYTES / 16)
        .read_to_end(&mut start)
        .ok()?;
    match container {
        "ogg" => unsupported_format::codec_in_ogg(&start),
        "matroska" => unsupported_format::codec_in_matroska(&start),
        _ => None,
    }
}

/// Whether an MP4 file without a readable audio track is encrypted: its sample entries are then
/// called `enca` (ISO/IEC 23001-7) or `drms` (FairPlay). They are in the `moov` box, at the start
/// or end of the file.
pub(crate) fn looks_encrypted(recording: &Recording) -> bool {
    let search = || -> io::Result<bool> {
        let mut file = open_file(recording).map_err(io::Error::other)?;
        let length = file.length()?;
        let mut found = false;
        for from in [0, length.saturating_sub(ENCRYPTION_SEARCH_BYTES)] {
            file.seek(io::SeekFrom::Start(from))?;
            let mut part = Vec::new();
            (&mut file)
                .take(ENCRYPTION_SEARCH_BYTES)
                .read_to_end(&mut part)?;
            found |= part
                .windows(4)
                .any(|window| matches!(window, b"enca" | b"drms"));
        }
        Ok(found)
    };
    search().unwrap_or(false)
}
