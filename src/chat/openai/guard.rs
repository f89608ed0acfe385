//! Bounds on a stream of events before a parser sees it: a parser keeps an unfinished line.

use bytes::Bytes;

/// Bytes of the longest line.
const MAX_LINE: usize = 256 * 1024;

/// Bytes of the longest event: its lines up to an empty one.
const MAX_EVENT: usize = 512 * 1024;

/// Bytes of the longest stream. A token costs some 200 bytes of JSON.
const MAX_STREAM: usize = 64 * 1024 * 1024;

/// Counts what passes by.
#[derive(Debug, Default)]
pub(super) struct Guard {
    line: usize,
    event: usize,
    stream: usize,
}

impl Guard {
    /// Whether the stream may go on after `bytes`.
    pub(super) fn admits(&mut self, bytes: &Bytes) -> bool {
        self.stream = self.stream.saturating_add(bytes.len());
        for byte in bytes {
            if matches!(byte, b'\n' | b'\r') {
                // An empty line ends the event; the \n of a \r\n counts as one, which only makes
                // the bound on events looser than on lines.
                if self.line == 0 {
                    self.event = 0;
                }
                self.line = 0;
            } else {
                self.line += 1;
                self.event += 1;
            }
            if self.line > MAX_LINE || self.event > MAX_EVENT {
                return false;
            }
        }
        self.stream <= MAX_STREAM
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(pieces: impl IntoIterator<Item = Vec<u8>>) -> bool {
        let mut guard = Guard::default();
        pieces
            .into_iter()
            .all(|piece| guard.admits(&Bytes::from(piece)))
    }

    #[test]
    fn ordinary_streams_pass() {
        let event = b"data: {\"choices\":[]}\n\n".to_vec();
        assert!(admits(std::iter::repeat_n(event, 100_000)));
    }

    #[test]
    fn an_endless_line_does_not() {
        assert!(!admits(std::iter::repeat_n(vec![b'x'; 1_000], 1_000)));
    }

    #[test]
    fn an_endless_event_does_not() {
        let line = [b"data: ".to_vec(), vec![b'x'; 1_000], b"\n".to_vec()].concat();
        assert!(!admits(std::iter::repeat_n(line, 1_000)));
    }

    #[test]
    fn an_endless_stream_does_not() {
        let comment = b": keep-alive\n\n".to_vec();
        assert!(!admits(std::iter::repeat_n(comment, MAX_STREAM / 14 + 1)));
    }
}
