//! Checks whether an Ogg file ends on a page and packet boundary.
//!
//! A recording that was written live and then stopped has no page marked as the last one. It is
//! complete, but symphonia 0.6 takes it for truncated. The page format is defined in RFC 3533.

use std::io::{Read, Seek, SeekFrom};

use crate::Recording;

/// Maximum page size: 27 + 255 + 255 × 255 bytes.
const MAX_PAGE_BYTES: u64 = 65_307;

const PAGE_HEADER_BYTES: usize = 27;

/// Whether the last page is complete and no packet continues after it.
pub(crate) fn ends_on_packet_boundary(recording: &Recording) -> bool {
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

/// Whether `bytes` ends with a complete page whose last packet is complete.
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
        let continues = segments.last() == Some(&255);
        page.len() == PAGE_HEADER_BYTES + segments.len() + content && !continues
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
    fn only_a_complete_page_with_complete_packets_is_an_end() {
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
