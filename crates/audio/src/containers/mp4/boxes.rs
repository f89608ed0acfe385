//! Boxes of MP4 and QuickTime files (ISO/IEC 14496-12, 4.2).

use std::io::{self, Read, Seek, SeekFrom};

use super::super::byte_order::{array_at, read_array};

/// Maximum number of boxes read within one box.
const MAX_BOXES: usize = 10_000;

/// A box of a file: its type, and the position of its content.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mp4Box {
    pub(super) kind: [u8; 4],
    pub(super) start: u64,
    /// End of the content; `None` means up to the end of the file.
    pub(super) end: Option<u64>,
}

impl Mp4Box {
    /// Reads the box header at offset `at`; `None` at the end of the file.
    pub(super) fn read(file: &mut (impl Read + Seek), at: u64) -> io::Result<Option<Self>> {
        file.seek(SeekFrom::Start(at))?;
        let mut first = [0];
        if file.read(&mut first)? == 0 {
            return Ok(None);
        }
        let [second, third, fourth]: [u8; 3] = read_array(file)?;
        let size = u32::from_be_bytes([first[0], second, third, fourth]);
        let kind = read_array(file)?;
        let (head, end) = match size {
            0 => (8, None),
            1 => {
                let size = u64::from_be_bytes(read_array(file)?);
                (16, Some(at.saturating_add(size.max(16))))
            }
            size => (8, Some(at.saturating_add(u64::from(size).max(8)))),
        };
        Ok(Some(Self {
            kind,
            start: at.saturating_add(head),
            end,
        }))
    }
}

/// Iterates over the boxes in `bytes`; stops at the first incomplete one.
pub(super) fn children(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let kind = array_at(bytes, at + 4)?;
        let (head, size) = match u32::from_be_bytes(array_at(bytes, at)?) {
            0 => (8, bytes.len() - at),
            1 => (
                16,
                usize::try_from(u64::from_be_bytes(array_at(bytes, at + 8)?)).ok()?,
            ),
            size => (8, size as usize),
        };
        let end = at.checked_add(size)?;
        let content = bytes.get(at + head..end)?;
        at = end;
        Some((kind, content))
    })
    .take(MAX_BOXES)
}

/// Content of the first box with this type.
pub(super) fn find_box<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    children(bytes)
        .find(|(found, _)| found == kind)
        .map(|(_, content)| content)
}

/// Content of a nested box.
pub(super) fn find_box_at_path<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter()
        .try_fold(bytes, |bytes, kind| find_box(bytes, kind))
}

/// Reads big-endian fields one after another.
pub(super) struct FieldReader<'a>(pub(super) &'a [u8]);

impl FieldReader<'_> {
    fn read_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn read_u8(&mut self) -> Option<u8> {
        self.read_array::<1>().map(|[byte]| byte)
    }

    pub(super) fn read_u16(&mut self) -> Option<u16> {
        self.read_array().map(u16::from_be_bytes)
    }

    pub(super) fn read_u32(&mut self) -> Option<u32> {
        self.read_array().map(u32::from_be_bytes)
    }

    pub(super) fn read_u64(&mut self) -> Option<u64> {
        self.read_array().map(u64::from_be_bytes)
    }

    /// A field that is 64 bits wide if `wide`, otherwise 32.
    pub(super) fn read_u32_or_u64(&mut self, wide: bool) -> Option<u64> {
        match wide {
            true => self.read_u64(),
            false => self.read_u32().map(u64::from),
        }
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }

    /// The version and flags of a full box.
    pub(super) fn read_version_and_flags(&mut self) -> Option<(u8, u32)> {
        let both = self.read_u32()?;
        Some(((both >> 24) as u8, both & 0x00FF_FFFF))
    }
}
