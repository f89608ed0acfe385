//! What a file is and how long it lasts, as far as its headers tell.

use std::time::Duration;

/// PCM in a WAV file, as its headers describe it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct WavHeader {
    pub(super) format: u16,
    pub(super) channels: u16,
    pub(super) sample_rate: u32,
    pub(super) bits: u16,
    /// Where the samples begin.
    pub(super) data_start: usize,
    /// The bytes of samples that the file claims and has.
    pub(super) data_bytes: usize,
}

/// What is wrong with a WAV file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WavError {
    NotWav,
    NoFormat,
    NoData,
    Truncated,
}

const WAVE_FORMAT_PCM: u16 = 1;
const WAVE_FORMAT_EXTENSIBLE: u16 = 0xFFFE;

impl WavHeader {
    /// Reads the headers. `all` tells whether `bytes` is the whole file.
    pub(super) fn parse(bytes: &[u8], all: bool) -> Result<Self, WavError> {
        if bytes.len() < 12 || !bytes.starts_with(b"RIFF") || &bytes[8..12] != b"WAVE" {
            return Err(WavError::NotWav);
        }
        let mut format = None;
        let mut place = 12;
        while let Some(header) = bytes.get(place..place + 8) {
            let length = read_u32(header, 4) as usize;
            let start = place + 8;
            match &header[..4] {
                b"fmt " => format = bytes.get(start..start + length),
                b"data" => {
                    let fields = format.filter(|fields| fields.len() >= 16);
                    let fields = fields.ok_or(WavError::NoFormat)?;
                    if all && start + length > bytes.len() {
                        return Err(WavError::Truncated);
                    }
                    return Ok(Self {
                        format: sample_format(fields),
                        channels: read_u16(fields, 2),
                        sample_rate: read_u32(fields, 4),
                        bits: read_u16(fields, 14),
                        data_start: start,
                        data_bytes: length,
                    });
                }
                _ => {}
            }
            place = start.saturating_add(length).saturating_add(length % 2);
        }
        Err(if format.is_some() {
            WavError::NoData
        } else {
            WavError::NoFormat
        })
    }

    pub(super) fn is_pcm(&self) -> bool {
        self.format == WAVE_FORMAT_PCM
    }

    pub(super) fn duration_ms(&self) -> u64 {
        let frame = u64::from(self.channels) * u64::from(self.bits / 8);
        let per_second = u64::from(self.sample_rate) * frame;
        self.data_bytes as u64 * 1_000 / per_second.max(1)
    }
}

fn sample_format(fields: &[u8]) -> u16 {
    match read_u16(fields, 0) {
        // The true format is the beginning of a GUID.
        WAVE_FORMAT_EXTENSIBLE if fields.len() >= 26 => read_u16(fields, 24),
        format => format,
    }
}

fn read_u16(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([bytes[place], bytes[place + 1]])
}

fn read_u32(bytes: &[u8], place: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&bytes[place..place + 4]);
    u32::from_le_bytes(four)
}

/// Whether the first bytes are those of a container or codec with sound in it.
pub(super) fn is_media(head: &[u8]) -> bool {
    let starts: &[&[u8]] = &[
        b"OggS",
        b"RIFF",
        b"ID3",
        b"fLaC",
        b"FORM",
        b"caff",
        b"\x1A\x45\xDF\xA3",
        b"#!AMR",
        b"\x30\x26\xB2\x75",
        b"wvpk",
        b".snd",
    ];
    starts.iter().any(|start| head.starts_with(start))
        || head.get(4..8) == Some(b"ftyp")
        // MPEG audio and ADTS begin with eleven set bits.
        || matches!(head, [0xFF, second, ..] if second & 0xE0 == 0xE0)
}

/// How long a file lasts: exact for WAV and Ogg, else guessed from its size at 32 kbit/s.
pub(super) fn duration(head: &[u8], whole: Option<&[u8]>, length: u64) -> Duration {
    if let Ok(wav) = WavHeader::parse(head, false) {
        return Duration::from_millis(wav.duration_ms());
    }
    whole
        .and_then(ogg_duration)
        .unwrap_or_else(|| Duration::from_millis(length / 4))
}

/// From the granule position of the last page.
fn ogg_duration(bytes: &[u8]) -> Option<Duration> {
    if !bytes.starts_with(b"OggS") {
        return None;
    }
    let first_packet = bytes.get(28..)?;
    let (rate, skip) = if first_packet.starts_with(b"OpusHead") {
        (48_000, u64::from(read_u16(first_packet.get(10..12)?, 0)))
    } else if first_packet.starts_with(b"\x01vorbis") {
        (read_u32(first_packet.get(12..16)?, 0), 0)
    } else {
        return None;
    };
    let last = bytes.windows(4).rposition(|four| four == b"OggS")?;
    let mut granule = [0; 8];
    granule.copy_from_slice(bytes.get(last + 6..last + 14)?);
    let samples = u64::from_le_bytes(granule).saturating_sub(skip);
    Some(Duration::from_millis(
        samples.saturating_mul(1_000) / u64::from(rate.max(1)),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUESTION: &[u8] = include_bytes!("../../../../samples/question.ogg");

    #[test]
    fn the_length_of_ogg_opus_is_exact() {
        let duration = duration(QUESTION, Some(QUESTION), QUESTION.len() as u64);
        // As ffprobe tells it.
        assert!((3.0..6.0).contains(&duration.as_secs_f64()), "{duration:?}");
        assert!(is_media(QUESTION));
    }

    #[test]
    fn a_wav_file_may_have_other_chunks() {
        let mut wav =
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3E\0\0\0\x7D\0\0\x02\0\x10\0"
                .to_vec();
        wav.extend_from_slice(b"LIST\x03\0\0\0abc\0data\x80\x0C\0\0");
        assert_eq!(WavHeader::parse(&wav, true), Err(WavError::Truncated));
        wav.resize(wav.len() + 3_200, 0);
        let read = WavHeader::parse(&wav, true).expect("a whole file");
        assert_eq!(
            (read.sample_rate, read.channels, read.bits),
            (16_000, 1, 16)
        );
        assert_eq!(read.duration_ms(), 100);
    }

    #[test]
    fn what_is_not_media_is_seen() {
        assert!(!is_media(b"Dear diary"));
        assert!(!is_media(b""));
        assert_eq!(WavHeader::parse(b"RIFF", true), Err(WavError::NotWav));
    }
}
