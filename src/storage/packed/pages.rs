//! Memory of what is held for a while, in pages as large as there are.

use arrow::buffer::Buffer;
use bytes::Bytes;
use memmap2::MmapMut;

/// Each buffer begins at a multiple of so many bytes, as Arrow's own do.
const ALIGNMENT: usize = 64;

/// Less than that is not worth it: two large pages of x86.
const LEAST_BYTES: usize = 4 << 20;

/// Moves all buffers into one piece of memory, of large pages where the system has them: few are touched for the first time
/// then, and few are looked up where rows are gathered from everywhere (measured: a tenth of a load's time). Where there is no
/// such piece, they stay as they are.
pub fn move_together(mut buffers: Vec<&mut Buffer>) {
    let room = |buffer: &Buffer| buffer.len().next_multiple_of(ALIGNMENT);
    let bytes: usize = buffers.iter().map(|buffer| room(buffer)).sum();
    if bytes < LEAST_BYTES {
        return;
    }
    let Ok(mut pages) = MmapMut::map_anon(bytes) else { return };
    #[cfg(target_os = "linux")]
    if let Err(e) = pages.advise(memmap2::Advice::HugePage) {
        tracing::debug!(error = %e, "the system has no large pages");
    }
    let mut at = 0;
    for buffer in &buffers {
        pages[at..at + buffer.len()].copy_from_slice(buffer);
        at += room(buffer);
    }
    let pages = Buffer::from(Bytes::from_owner(pages));
    let mut at = 0;
    for buffer in &mut buffers {
        let moved = pages.slice_with_length(at, buffer.len());
        at += room(buffer);
        **buffer = moved;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_the_same_wherever_they_are() {
        let parts: Vec<Vec<u8>> = (0..100usize).map(|i| vec![i as u8; i * i * 20]).collect();
        let mut buffers: Vec<Buffer> = parts.iter().cloned().map(Buffer::from_vec).collect();
        let before = buffers[1].as_ptr();
        move_together(buffers[..50].iter_mut().collect());
        assert_eq!(buffers[1].as_ptr(), before, "too little to be moved");
        move_together(buffers.iter_mut().collect());
        for (part, buffer) in parts.iter().zip(&buffers) {
            assert_eq!(buffer.as_slice(), part);
            assert_eq!(buffer.as_ptr().align_offset(ALIGNMENT), 0);
        }
        let (first, last) = (buffers[0].as_ptr() as usize, buffers[99].as_ptr() as usize);
        assert!((first..first + 8_000_000).contains(&last), "one piece");
        move_together(Vec::new());
    }
}
