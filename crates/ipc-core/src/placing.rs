//! Where buffers lie in their pages, so that copies to and from the kernel's pages are quick. Leaves out
//! what lies in them.
//!
//! Pipes and Unix sockets hold pages, and the kernel copies with the processor's string instruction where that is the
//! best there is. On AMD's processors since Zen 3 this takes 30 times as long when the target lies up to
//! some 60 bytes behind the source, as places within a page go: 2 µs for a page. The same holds for
//! copies of a few KiB within this process. A header of four bytes is enough to bring a page-aligned
//! message there, and a large block from `malloc` begins at byte 16 of a page. See
//! `benches/record/2026-11-28-pipe-experiments.md`.

/// Bytes of a page, as far as the effect goes; so it is on systems with larger pages, too.
const PAGE_BYTES: usize = 4096;

/// A target that lies fewer bytes than this behind its source, modulo pages, is slow to reach.
const STUMBLING_BYTES: usize = 64;

/// How many bytes a buffer must be longer than what is to lie at a place of our choice in it.
pub const SLACK_BYTES: usize = PAGE_BYTES;

/// Whether copying from one address to another is slow: what counts is where in their pages they are.
pub const fn is_slow(from: usize, to: usize) -> bool {
    let behind = to.wrapping_sub(from) % PAGE_BYTES;
    behind > 0 && behind < STUMBLING_BYTES
}

/// Where in its page a slice begins.
fn place_of(bytes: &[u8]) -> usize {
    bytes.as_ptr() as usize % PAGE_BYTES
}

/// Whether what begins a page of the kernel's, behind a header or not, is slow to be read to `buffer`.
pub fn is_slow_to_read_to(buffer: &[u8]) -> bool {
    is_slow(0, place_of(buffer))
}

/// Whether `message` is slow to be written to the kernel's pages right behind a header of this length.
pub fn is_slow_to_write_behind(header_len: usize, message: &[u8]) -> bool {
    is_slow(place_of(message), header_len)
}

/// Where in `storage` to put what will be read from the kernel's pages, as a distance of less than
/// [`SLACK_BYTES`] from its beginning.
pub fn amid_a_page(storage: &[u8]) -> usize {
    distance(storage, PAGE_BYTES / 2)
}

/// Where in `storage` to put a copy of `message`, behind a header or not, that will be written to the
/// kernel's pages, as a distance of less than [`SLACK_BYTES`] from its beginning.
pub fn apart_from(message: &[u8], storage: &[u8]) -> usize {
    let half_a_page_off = (place_of(message) + PAGE_BYTES / 2) % PAGE_BYTES;
    let place = if is_slow(half_a_page_off, 0) { PAGE_BYTES / 4 } else { half_a_page_off };
    distance(storage, place)
}

/// Like [`apart_from`], for a copy that lies behind a header of `header_len` bytes: the distance of the header.
/// The copy begins a line of the processor's cache, from where the kernel copies quickest.
pub fn apart_from_behind(header_len: usize, message: &[u8], storage: &[u8]) -> usize {
    let place = apart(message) / STUMBLING_BYTES * STUMBLING_BYTES;
    distance(storage, place.wrapping_sub(header_len))
}

/// Where in `storage` to put what will be read from the kernel's pages and then copied to `buffer`, as a
/// distance of less than [`SLACK_BYTES`] from its beginning. What follows there may lie up to
/// 64 bytes later in its page, as behind headers.
pub fn on_the_way_to(buffer: &[u8], storage: &[u8]) -> usize {
    distance(storage, apart(buffer))
}

/// A place half a page off that of `bytes`, but not near where a page begins.
fn apart(bytes: &[u8]) -> usize {
    let half_a_page_off = (place_of(bytes) + PAGE_BYTES / 2) % PAGE_BYTES;
    let near = 2 * STUMBLING_BYTES;
    if (near..PAGE_BYTES - near).contains(&half_a_page_off) {
        half_a_page_off
    } else {
        PAGE_BYTES / 4
    }
}

fn distance(storage: &[u8], place: usize) -> usize {
    place.wrapping_sub(place_of(storage)) % PAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_quick_to_make_and_quick_to_write_wherever_its_message_lies() {
        let storage = vec![0; 3 * PAGE_BYTES];
        let messages = vec![0; 2 * PAGE_BYTES];
        for start in 0..PAGE_BYTES {
            let message = &messages[start..];
            let from = apart_from(message, &storage);
            assert!(from < SLACK_BYTES);
            let place = place_of(&storage[from..]);
            for header_len in [0, 4, 8] {
                let payload = place + header_len;
                assert!(!is_slow(place_of(message), payload), "{} to {payload}", place_of(message));
            }
            assert!(!is_slow(place, 0), "{place} to a page of the kernel's");
        }
    }

    #[test]
    fn a_copy_behind_a_header_is_quick_and_begins_a_line() {
        let storage = vec![0; 3 * PAGE_BYTES];
        let messages = vec![0; 2 * PAGE_BYTES];
        for start in 0..PAGE_BYTES {
            let message = &messages[start..];
            let from = apart_from_behind(4, message, &storage);
            assert!(from < SLACK_BYTES);
            let copy = place_of(&storage[from + 4..]);
            assert_eq!(copy % STUMBLING_BYTES, 0);
            assert!(!is_slow(place_of(message), copy), "{} to {copy}", place_of(message));
            assert!(!is_slow(copy, 0) && !is_slow(copy - 4, 0), "{copy} to a page of the kernel's");
        }
    }

    #[test]
    fn what_is_read_on_the_way_to_a_buffer_is_quick_to_read_and_to_copy() {
        let storage = vec![0; 3 * PAGE_BYTES];
        let buffers = vec![0; 2 * PAGE_BYTES];
        for start in 0..PAGE_BYTES {
            let buffer = &buffers[start..];
            let from = on_the_way_to(buffer, &storage);
            assert!(from < SLACK_BYTES);
            for further in 0..=STUMBLING_BYTES {
                let stop = place_of(&storage[from + further..]);
                assert!(!is_slow(0, stop), "to {stop} from a page of the kernel's");
                assert!(!is_slow(stop, place_of(buffer)), "{stop} to {}", place_of(buffer));
            }
        }
    }

    #[test]
    fn large_blocks_of_malloc_are_slow_and_what_we_choose_is_not() {
        let storage = vec![0; 2 * PAGE_BYTES];
        let from = |place| &storage[distance(&storage, place)..];
        assert!(is_slow_to_read_to(from(16)));
        assert!(!is_slow_to_read_to(from(0)));
        assert!(!is_slow_to_read_to(&storage[amid_a_page(&storage)..]));
        assert!(is_slow_to_write_behind(4, from(0)));
        assert!(!is_slow_to_write_behind(0, from(0)));
        assert!(!is_slow_to_write_behind(4, from(16)));
    }
}
