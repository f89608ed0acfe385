//! From a path to a container that symphonia takes apart.

use std::io::{self, Read, Seek};
use std::sync::Arc;

use symphonia::core::errors::Error;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{
    MediaSource, MediaSourceStream, MediaSourceStreamOptions, ReadOnlySource,
};
use symphonia::core::meta::MetadataOptions;

use super::containers::{Demuxer, Source, Wave, is_wave};
use super::growth::{GrowingFile, Growth};
use super::speech_file::FileReader;
use super::{AudioError, Limits, Recording};

/// How a Matroska or WebM file begins.
const MATROSKA: &[u8] = b"\x1a\x45\xdf\xa3";

/// How containers begin; what begins otherwise and can't be opened is no audio at all.
const KNOWN_STARTS: &[(usize, &[u8])] = &[
    (0, b"OggS"),
    (0, b"RIFF"),
    (0, b"RIFX"),
    (0, b"RF64"),
    (0, b"BW64"),
    (0, b"riff\x2E\x91\xCF\x11"),
    (0, b"fLaC"),
    (0, b"ID3"),
    (0, MATROSKA),
    (4, b"ftyp"),
    (0, b"FORM"),
    (0, b"caff"),
];

/// How many bytes of a file tell how it begins.
const MOST_OF_A_START: u64 = 12;

/// Bytes at either end of an MP4 file that are searched for the marks of encryption.
const SEARCHED: u64 = 1024 * 1024;

/// A container, opened.
pub(super) struct Opened {
    pub(super) format: Box<dyn Demuxer>,
    /// Length of the file in bytes, or of what there is of one that grows.
    pub(super) bytes: u64,
    /// Whether it begins as a container does. MPEG audio has no such beginning, so anything may
    /// be taken for it.
    pub(super) known_start: bool,
}

/// Opens the file behind `recording` and finds out what it is by its content, not its name.
pub(super) fn open(recording: &Recording, limits: &Limits) -> Result<Opened, AudioError> {
    let mut file = open_file(recording)?;
    let growth = recording.growth().cloned();
    let bytes = match &growth {
        Some(growth) => growth
            .wait_for(MOST_OF_A_START)
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
    let mut start = [0; MOST_OF_A_START as usize];
    let read = read_start(&mut file, &mut start).map_err(AudioError::Unreadable)?;
    let known = KNOWN_STARTS.iter().any(|(at, mark)| {
        start[..read]
            .get(*at..)
            .is_some_and(|rest| rest.starts_with(mark))
    });
    let format =
        take_apart(recording, file, growth, &start[..read]).map_err(|error| match error {
            Error::IoError(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                AudioError::Unreadable(error)
            }
            _ if !known => AudioError::NotAudio,
            error => AudioError::Damaged {
                reason: error.to_string(),
            },
        })?;
    Ok(Opened {
        format,
        bytes,
        known_start: known,
    })
}

/// Finds what takes a file apart that begins so.
fn take_apart(
    recording: &Recording,
    file: FileReader,
    growth: Option<Arc<Growth>>,
    start: &[u8],
) -> Result<Box<dyn Demuxer>, Error> {
    if is_wave(start) {
        return Wave::open(Source::new(file, growth)?);
    }
    let format = match growth {
        Some(growth) => probe_growing(file, growth)?,
        None => probe(Box::new(file)).or_else(|error| {
            // symphonia refuses a Matroska file that is shorter than it says, unless it can't know.
            if !start.starts_with(MATROSKA) {
                return Err(error);
            }
            probe(Box::new(ReadOnlySource::new(recording.open()?)))
        })?,
    };
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

pub(super) fn probe(source: Box<dyn MediaSource>) -> Result<Box<dyn FormatReader>, Error> {
    let stream = MediaSourceStream::new(source, MediaSourceStreamOptions::default());
    symphonia::default::get_probe().probe(
        &Hint::new(),
        stream,
        FormatOptions::default(),
        MetadataOptions::default(),
    )
}

/// Whether an MP4 file without a readable audio track is encrypted: its sample entries are then
/// called `enca` (ISO/IEC 23001-7) or `drms` (FairPlay). They stand in the `moov` box, at the
/// start or the end of the file.
pub(super) fn looks_encrypted(recording: &Recording) -> bool {
    let search = || -> io::Result<bool> {
        let mut file = open_file(recording).map_err(io::Error::other)?;
        let length = file.length()?;
        let mut found = false;
        for from in [0, length.saturating_sub(SEARCHED)] {
            file.seek(io::SeekFrom::Start(from))?;
            let mut part = Vec::new();
            (&mut file).take(SEARCHED).read_to_end(&mut part)?;
            found |= part
                .windows(4)
                .any(|window| matches!(window, b"enca" | b"drms"));
        }
        Ok(found)
    };
    search().unwrap_or(false)
}
