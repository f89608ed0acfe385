//! What comes before the first sample of an upload.

use bytes::{Bytes, BytesMut};

use super::super::sync::{Refusal, bad_request};

/// The most that may come before the first sample: 64 KiB.
const MAX_HEAD: usize = 64 * 1024;

/// The beginning of a form, until its audio begins.
pub(super) struct Head {
    /// None: it is no form, which is told once it is whole.
    boundary: Option<String>,
    came: BytesMut,
    in_audio: bool,
}

/// What a piece brought.
pub(super) enum Reading {
    /// The audio has not begun.
    Head,
    /// The configuration, and so many bytes of audio.
    Config(Bytes, usize),
    /// Nothing but audio.
    Audio,
}

impl Head {
    pub(super) fn new(content_type: &str) -> Self {
        Self {
            boundary: multer::parse_boundary(content_type).ok(),
            came: BytesMut::new(),
            in_audio: false,
        }
    }

    pub(super) fn read(&mut self, piece: &[u8]) -> Result<Reading, Refusal> {
        let Some(boundary) = self.boundary.as_ref().filter(|_| !self.in_audio) else {
            return Ok(Reading::Audio);
        };
        self.came.extend_from_slice(piece);
        let boundary = format!("--{boundary}\r\n");
        let Some((config, audio)) = split(&self.came, boundary.as_bytes())? else {
            return if self.came.len() <= MAX_HEAD {
                Ok(Reading::Head)
            } else {
                Err(bad_request("the audio does not begin"))
            };
        };
        let config = Bytes::copy_from_slice(config);
        self.in_audio = true;
        self.came = BytesMut::new();
        Ok(Reading::Config(config, audio))
    }
}

/// The configuration, and how much audio stands behind it. None: there is more to come.
fn split<'a>(came: &'a [u8], boundary: &[u8]) -> Result<Option<(&'a [u8], usize)>, Refusal> {
    let Some((name, rest)) = part(came, boundary) else {
        return Ok(None);
    };
    if name != "config" {
        return Err(bad_request("the config part must come before the audio"));
    }
    let delimiter = [b"\r\n", boundary].concat();
    let Some(end) = find(rest, &delimiter) else {
        return Ok(None);
    };
    let Some((name, audio)) = part(&rest[end + 2..], boundary) else {
        return Ok(None);
    };
    if name != "audio" {
        return Err(bad_request(format!("unexpected part: {name}")));
    }
    Ok(Some((&rest[..end], audio.len())))
}

/// The name of the part that begins here, and its content as far as it is there.
fn part<'a>(came: &'a [u8], boundary: &[u8]) -> Option<(String, &'a [u8])> {
    let start = find(came, boundary)? + boundary.len();
    let end = start + find(&came[start..], b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&came[start..end]);
    let (_, name) = headers.split_once(" name=\"")?;
    let (name, _) = name.split_once('"')?;
    Some((name.to_owned(), &came[end + 4..]))
}

fn find(in_what: &[u8], what: &[u8]) -> Option<usize> {
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
            let mut head = Head::new(TYPE);
            let (mut config, mut audio) = (None, 0);
            for piece in form.chunks(size) {
                match head.read(piece).expect("a form") {
                    Reading::Head => {}
                    Reading::Config(read, bytes) => (config, audio) = (Some(read), bytes),
                    Reading::Audio => audio += piece.len(),
                }
            }
            assert_eq!((config.as_deref(), audio), (Some(&b"{}"[..]), 3), "{size}");
        }
    }

    #[test]
    fn audio_does_not_come_first() {
        let mut head = Head::new(TYPE);
        let audio = b"--x\r\nContent-Disposition: form-data; name=\"audio\"\r\n\r\nabc";
        assert!(head.read(audio).is_err());
        let mut head = Head::new(TYPE);
        assert!(head.read(&vec![b' '; MAX_HEAD + 1]).is_err());
    }
}
