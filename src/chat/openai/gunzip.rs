//! Unpacks bodies that a proxy compressed without being asked to.

use std::io::Write;

use flate2::write::MultiGzDecoder;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The largest unpacked body: 16 MiB.
const MAX_UNPACKED: usize = 16 * 1024 * 1024;

/// Passes plain bodies through, and unpacks those that start like gzip.
#[derive(Debug, Default)]
pub(super) struct Gunzip(GunzipState);

#[derive(Debug, Default)]
enum GunzipState {
    /// Nothing was received yet.
    #[default]
    Start,
    FirstMagicByte,
    Plain,
    Gzip(GzipStream),
    Failed,
}

impl Gunzip {
    /// Appends the unpacked `bytes` to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ()> {
        let mut rest = bytes;
        loop {
            match (&mut self.0, rest) {
                (GunzipState::Failed, _) => return Err(()),
                (_, []) => return Ok(()),
                (GunzipState::Plain, _) => {
                    out.extend_from_slice(rest);
                    return Ok(());
                }
                (GunzipState::Start, [first, more @ ..]) => {
                    if *first == GZIP[0] {
                        self.0 = GunzipState::FirstMagicByte;
                        rest = more;
                    } else {
                        self.0 = GunzipState::Plain;
                    }
                }
                (GunzipState::FirstMagicByte, [second, ..]) => {
                    if *second == GZIP[1] {
                        let mut stream = GzipStream::new();
                        self.0 = match stream.push(&GZIP[..1], out) {
                            Ok(()) => GunzipState::Gzip(stream),
                            Err(()) => GunzipState::Failed,
                        };
                    } else {
                        out.push(GZIP[0]);
                        self.0 = GunzipState::Plain;
                    }
                }
                (GunzipState::Gzip(stream), _) => {
                    let result = stream.push(rest, out);
                    if result.is_err() {
                        self.0 = GunzipState::Failed;
                    }
                    return result;
                }
            }
        }
    }

    /// Ends the body.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ()> {
        match &mut self.0 {
            GunzipState::FirstMagicByte => {
                out.push(GZIP[0]);
                Ok(())
            }
            GunzipState::Gzip(stream) => stream.finish(out),
            GunzipState::Failed => Err(()),
            GunzipState::Start | GunzipState::Plain => Ok(()),
        }
    }
}

struct GzipStream {
    decoder: Box<MultiGzDecoder<Vec<u8>>>,
    unpacked: usize,
}

impl std::fmt::Debug for GzipStream {
    /// The content is a user's answer.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GzipStream({} bytes)", self.unpacked)
    }
}

impl GzipStream {
    fn new() -> Self {
        Self {
            decoder: Box::new(MultiGzDecoder::new(Vec::new())),
            unpacked: 0,
        }
    }

    /// Unpacks byte by byte, so that the result doesn't depend on how the body is split.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), ()> {
        for byte in bytes {
            let written = self.decoder.write_all(&[*byte]);
            let written = written.and_then(|()| self.decoder.flush());
            self.drain_output(out);
            if written.is_err() || self.unpacked > MAX_UNPACKED {
                return Err(());
            }
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), ()> {
        let finished = self.decoder.try_finish();
        self.drain_output(out);
        finished.map_err(|_| ())
    }

    fn drain_output(&mut self, out: &mut Vec<u8>) {
        let unpacked = self.decoder.get_mut();
        self.unpacked += unpacked.len();
        out.append(unpacked);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(body).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn unpacked(body: &[u8], piece: usize) -> (Vec<u8>, bool) {
        let (mut unzip, mut out) = (Gunzip::default(), Vec::new());
        let fine = body
            .chunks(piece)
            .try_for_each(|piece| unzip.push(piece, &mut out));
        let fine = fine.and_then(|()| unzip.finish(&mut out));
        (out, fine.is_ok())
    }

    #[test]
    fn compressed_and_plain_bodies_are_read() {
        for body in [
            &b""[..],
            b"\x1f",
            b"\x1fx",
            b"x",
            b"data: {}\n\n",
            &[7; 100_000],
        ] {
            for piece in [1, 7, 1_000_000] {
                assert_eq!(unpacked(body, piece), (body.to_vec(), true));
                assert_eq!(unpacked(&packed(body), piece), (body.to_vec(), true));
            }
        }
    }

    #[test]
    fn damage_is_detected() {
        let whole = packed(b"data: {\"a\": 1}\n\n");
        assert!(!unpacked(&whole[..whole.len() - 9], 3).1);
        let mut damaged = whole;
        damaged[12] ^= 0xff;
        assert!(!unpacked(&damaged, 3).1);
    }
}
