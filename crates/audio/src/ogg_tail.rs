//! Whether an Ogg file ends where a page and a packet end.
//!
//! What is written as it is recorded and then stopped has no page that is marked as the last; it
//! is whole all the same. symphonia 0.6 takes it for cut off. Pages as in RFC 3533.

use std::io::{Read, Seek, SeekFrom};

use super::Recording;

/// The longest page is 27 + 255 + 255 × 255 bytes long.
const MAX_PAGE_BYTES: u64 = 65_307;

const PAGE_HEADER_BYTES: usize = 27;

/// Whether the last page of the file is there to its last byte, and no packet goes on behind it.
pub(super) fn ends_on_packet_boundary(recording: &Recording) -> bool {
    let read = || {
        let mut file = recording.open()?;
        let length = file.length()?;
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_PAGE_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(MAX_PAGE_BYTES).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    read().is_ok_and(|bytes| is_page_end(&bytes))
}

/// Whether a page begins somewhere in `bytes` that ends just where they end.
fn is_page_end(bytes: &[u8]) -> bool {
    (0..bytes.len()).any(|at| {
        let page = &bytes[at..];
        let Some(segments) = page
            .get(PAGE_HEADER_BYTES - 1)
            .filter(|_| page.starts_with(b"OggS\0"))
            .and_then(|count| page.get(PAGE_HEADER_BYTES..PAGE_HEADER_BYTES + usize::from(*count)))
        else {
            return false;
        };
        let content: usize = segments.iter().map(|length| usize::from(*length)).sum();
        let goes_on = segments.last() == Some(&255);
        page.len() == PAGE_HEADER_BYTES + segments.len() + content && !goes_on
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(segments: &[u8]) -> Vec<u8> {
        let mut page = b"OggS\0".to_vec();
        page.extend([0; 21]);
        page.push(segments.len() as u8);
        page.extend(segments);
        page.extend(
            segments
                .iter()
                .flat_map(|length| vec![7; usize::from(*length)]),
        );
        page
    }

    #[test]
    fn only_a_whole_page_with_whole_packets_is_an_end() {
        let file = [page(&[255, 3]), page(&[9])].concat();
        assert!(is_page_end(&file));
        for cut in 0..file.len() {
            assert_eq!(
                is_page_end(&file[..cut]),
                cut == page(&[255, 3]).len(),
                "{cut}"
            );
        }
        assert!(!is_page_end(&page(&[9, 255])));
        assert!(!is_page_end(&[file, vec![0]].concat()));
    }
}
