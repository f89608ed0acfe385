//! What comes before the first sample of an upload.

use bytes::{Bytes, BytesMut};

use super::super::sync::{SyncRefusal, bad_request};

/// The most that may come before the first sample: 64 KiB.
const MAX_FORM_HEAD: usize = 64 * 1024;

/// The beginning of a form, until its audio begins.
pub(super) struct FormHead {
    /// None: it is no form, which is told once it is whole.
    boundary: Option<String>,
    buffer: BytesMut,
    in_audio: bool,
}

/// What a piece brought.
pub(super) enum FormProgress {
    /// The audio has not begun.
    Incomplete,
    /// The configuration, and so many bytes of audio.
    Config(Bytes, usize),
    /// Nothing but audio.
    Audio,
}

impl FormHead {
    pub(super) fn new(content_type: &str) -> Self {
        Self {
            boundary: multer::parse_boundary(content_type).ok(),
            buffer: BytesMut::new(),
            in_audio: false,
        }
    }

    pub(super) fn push(&mut self, piece: &[u8]) -> Result<FormProgress, SyncRefusal> {
        let Some(boundary) = self.boundary.as_ref().filter(|_| !self.in_audio) else {
            return Ok(FormProgress::Audio);
        };
        self.buffer.extend_from_slice(piece);
        let boundary = format!("--{boundary}\r\n");
        let Some((config, audio)) = split_config(&self.buffer, boundary.as_bytes())? else {
            return if self.buffer.len() <= MAX_FORM_HEAD {
                Ok(FormProgress::Incomplete)
            } else {
                Err(bad_request("the audio does not begin"))
            };
        };
        let config = Bytes::copy_from_slice(config);
        self.in_audio = true;
        self.buffer = BytesMut::new();
        Ok(FormProgress::Config(config, audio))
    }
}

/// The configuration, and how much audio stands behind it. None: there is more to come.
fn split_config<'a>(
    came: &'a [u8],
    boundary: &[u8],
) -> Result<Option<(&'a [u8], usize)>, SyncRefusal> {
    let Some((name, rest)) = parse_part(came, boundary) else {
        return Ok(None);
    };
    if name != "config" {
        return Err(bad_request("the config part must come before the audio"));
    }
    let delimiter = [b"\r\n", boundary].concat();
    let Some(end) = find_bytes(rest, &delimiter) else {
        return Ok(None);
    };
    let Some((name, audio)) = parse_part(&rest[end + 2..], boundary) else {
        return Ok(None);
    };
    if name != "audio" {
        return Err(bad_request(format!("unexpected part: {name}")));
    }
    Ok(Some((&rest[..end], audio.len())))
}

/// The name of the part that begins here, and its content as far as it is there.
fn parse_part<'a>(came: &'a [u8], boundary: &[u8]) -> Option<(String, &'a [u8])> {
    let start = find_bytes(came, boundary)? + boundary.len();
    let end = start + find_bytes(&came[start..], b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&came[start..end]);
    let (_, name) = headers.split_once(" name=\"")?;
    let (name, _) = name.split_once('"')?;
    Some((name.to_owned(), &came[end + 4..]))
}

fn find_bytes(in_what: &[u8], what: &[u8]) -> Option<usize> {
    in_what.windows(what.len()).position(|it| it == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=x";

    #[test]
    fn the_configuration_is_found_wherever_pieces_are_cut() {
        let form = b"--x\r\nContent-Disposition: form-data; name=\"config\"\r\n\r\n{}\r\n\
            --x\r\nContent-Disposition: form-data; name=\"audio\"; filename=\"a\"\r\n\r\nabc";
        for size in 1..form.len() {
            let mut head = FormHead::new(TYPE);
            let (mut config, mut audio) = (None, 0);
            for piece in form.chunks(size) {
                match head.push(piece).expect("a form") {
                    FormProgress::Incomplete => {}
                    FormProgress::Config(read, bytes) => (config, audio) = (Some(read), bytes),
                    FormProgress::Audio => audio += piece.len(),
                }
            }
            assert_eq!((config.as_deref(), audio), (Some(&b"{}"[..]), 3), "{size}");
        }
    }

    #[test]
    fn audio_does_not_come_first() {
        let mut head = FormHead::new(TYPE);
        let audio = b"--x\r\nContent-Disposition: form-data; name=\"audio\"\r\n\r\nabc";
        assert!(head.push(audio).is_err());
        let mut head = FormHead::new(TYPE);
        assert!(head.push(&vec![b' '; MAX_FORM_HEAD + 1]).is_err());
    }
}
