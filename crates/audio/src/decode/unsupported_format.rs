//! Recognizes file types and codecs that can't be decoded, so that the error can name them.

use crate::codecs;

/// Signatures of such files with their offset, and the name shown to users.
const UNSUPPORTED_SIGNATURES: &[(usize, &[u8], &str)] = &[
    (
        0,
        b"\x30\x26\xB2\x75\x8E\x66\xCF\x11",
        "a Windows Media file (WMA, WMV)",
    ),
    (0, b"FLV\x01", "a Flash video"),
    (0, b".RMF", "a RealMedia file"),
    (0, b".ra\xFD", "a RealAudio file"),
    (0, b"\x00\x00\x01\xBA", "an MPEG program stream (MPG, VOB)"),
    (0, b"wvpk", "a WavPack file"),
    (0, b"MAC ", "a Monkey's Audio file"),
    (0, b"TTA1", "a True Audio file"),
    (0, b"MPCK", "a Musepack file"),
    (0, b"MP+", "a Musepack file"),
    (0, b"DSD ", "a DSD file"),
    (0, b"FRM8", "a DSD file"),
    (0, b"#!SILK", "a SILK recording"),
    (1, b"#!SILK", "a SILK recording"),
    (0, b".snd", "a Sun audio file (AU)"),
    (0, b"Creative Voice File", "a Creative Voice file"),
    (8, b"QLCM", "a QCELP recording"),
    (0, b"MThd", "a MIDI file, with notes instead of sound"),
    (0, b"\x7F\xFE\x80\x01", "a bare DTS stream"),
];

/// Offset of the first sync byte and packet length, of the two kinds of MPEG transport streams.
const MPEG_TS_SYNC: [(usize, usize); 2] = [(0, 188), (4, 192)];

/// Bytes at the start of a file that are enough to detect its type.
pub(crate) const MAX_SIGNATURE_BYTES: u64 = 400;

/// The kind of file with this start, if it is an unsupported one.
pub(crate) fn detect_unsupported(start: &[u8]) -> Option<&'static str> {
    let is_mark = |at| start.get(at) == Some(&0x47);
    if MPEG_TS_SYNC
        .iter()
        .any(|(first, length)| is_mark(*first) && is_mark(first + length))
    {
        return Some("an MPEG transport stream (TS, M2TS)");
    }
    UNSUPPORTED_SIGNATURES
        .iter()
        .find(|(at, mark, _)| start.get(*at..).is_some_and(|rest| rest.starts_with(mark)))
        .map(|(_, _, kind)| *kind)
}

/// The unsupported codec of an Ogg file.
pub(crate) fn codec_in_ogg(start: &[u8]) -> Option<String> {
    let is_speex = start.windows(8).any(|it| it == b"Speex   ");
    is_speex.then(|| "Speex".to_owned())
}

/// The name of the audio codec in a Matroska file.
pub(crate) fn codec_in_matroska(start: &[u8]) -> Option<String> {
    // The CodecID element, with a length below 128.
    let at = start
        .windows(4)
        .position(|it| it[0] == 0x86 && it[1] & 0x80 != 0 && it[2..].starts_with(b"A_"))?;
    let length = usize::from(start[at + 1] & 0x7F);
    let name = std::str::from_utf8(start.get(at + 2..at + 2 + length)?).ok()?;
    let name = name.trim_end_matches('\0');
    if name == "A_MS/ACM" {
        // CodecPrivate follows, with a WAVEFORMATEX that starts with the format tag.
        let rest = &start[at..];
        let private = rest.windows(2).position(|it| it == [0x63, 0xA2])?;
        let size = rest.get(private + 2)?.leading_zeros() as usize + 1;
        let tag = rest.get(private + 2 + size..)?.first_chunk()?;
        return Some(codecs::codec_name(codecs::codec_from_wave_tag(
            u16::from_le_bytes(*tag),
        )));
    }
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "_/.-".contains(it);
    name.chars().all(is_plain).then(|| match name {
        "A_WAVPACK4" => "WavPack".to_owned(),
        "A_TTA1" => "TTA".to_owned(),
        name if name.starts_with("A_DTS") => "DTS".to_owned(),
        name if name.starts_with("A_REAL") => "RealAudio".to_owned(),
        name => name.trim_start_matches("A_").to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_types_are_detected_by_signature() {
        assert_eq!(detect_unsupported(b".RMF\0\0\0"), Some("a RealMedia file"));
        let mut packets = vec![0; MAX_SIGNATURE_BYTES as usize];
        packets[0] = 0x47;
        assert_eq!(detect_unsupported(&packets), None);
        packets[188] = 0x47;
        assert!(detect_unsupported(&packets).is_some_and(|kind| kind.contains("transport")));
        assert_eq!(detect_unsupported(b"OggS"), None);
    }

    #[test]
    fn unsupported_codecs_use_their_container_names() {
        assert_eq!(
            codec_in_ogg(b"OggS....Speex   1.2").as_deref(),
            Some("Speex")
        );
        assert_eq!(codec_in_ogg(b"OggS....\x86\x86A_TTA1"), None);
        let of = codec_in_matroska;
        assert_eq!(of(b"..\x86\x86A_TTA1\x63").as_deref(), Some("TTA"));
        assert_eq!(of(b"..\x86\x86A_QDM2\x63").as_deref(), Some("QDM2"));
        assert_eq!(
            of(b"..\x86\x88A_MS/ACM\x63\xA2\x82\x61\x01").as_deref(),
            Some("WMA")
        );
        for nothing in [
            &b"nothing"[..],
            b"A_TTA1",
            b"\x86\x90A_TTA1",
            b"\x86\x86A_\xFF\xFF\xFF\xFF",
        ] {
            assert_eq!(of(nothing), None);
        }
    }
}
