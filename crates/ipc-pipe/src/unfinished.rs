//! Long messages that come in pieces from several senders at once: what has come of each so far. Leaves
//! out reading the pieces, and how one knows that a sender is dead.

/// A piece's tag: which of the senders wrote it. Four bytes, little-endian, ahead of its bytes.
pub(crate) const TAG_LEN: usize = 4;

/// How many messages of the greatest length may be unfinished together. Beyond that somebody fills our
/// memory on purpose.
pub(crate) const UNFINISHED_MAX: usize = 4;

/// How many messages may be unfinished, however short: for each there is a sender amid a long one.
pub(crate) const SENDERS_MAX: usize = 10_000;

/// What has come of each message that is under way.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    messages: Vec<Message>,
}

#[derive(Debug)]
struct Message {
    tag: u32,
    bytes: Vec<u8>,
    /// Its sender is gone, and wrote its last piece before this place in the stream.
    ends_before: Option<u64>,
}

impl Unfinished {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.messages.clear();
    }

    /// Forgets the messages whose senders died before they had finished them. `has_sender` tells whether
    /// there is a sender of a tag; `read` and `written` are how much of the stream was looked at, and
    /// how much has been written at least. What a dead sender wrote is all written, so once we have read
    /// that far its message will not be finished any more.
    pub(crate) fn forget_dead(
        &mut self,
        read: u64,
        written: u64,
        mut has_sender: impl FnMut(u32) -> bool,
    ) {
        self.messages.retain_mut(|message| {
            if message.ends_before.is_none() && !has_sender(message.tag) {
                message.ends_before = Some(written);
            }
            message.ends_before.is_none_or(|end| read < end)
        });
    }

    /// Takes the first piece of a message. An unfinished one of the same sender was given up.
    pub(crate) fn begin(
        &mut self,
        tag: u32,
        piece: &[u8],
        max_message_bytes: usize,
    ) -> Result<(), &'static str> {
        self.messages.retain(|message| message.tag != tag);
        self.check_room(0, piece.len(), max_message_bytes)?;
        self.messages.push(Message { tag, bytes: piece.to_vec(), ends_before: None });
        Ok(())
    }

    /// Refuses a piece that would take more memory than honest senders do.
    fn check_room(
        &self,
        before: usize,
        piece_len: usize,
        max_message_bytes: usize,
    ) -> Result<(), &'static str> {
        if before + piece_len > max_message_bytes {
            return Err("a message longer than the link's maximum");
        }
        let total: usize = self.messages.iter().map(|message| message.bytes.len()).sum();
        let most = max_message_bytes.saturating_mul(UNFINISHED_MAX);
        if total + piece_len > most || self.messages.len() > SENDERS_MAX {
            return Err("more unfinished messages than there may be");
        }
        Ok(())
    }

    /// Takes a further piece; the message is given out with the last.
    pub(crate) fn go_on(
        &mut self,
        tag: u32,
        piece: &[u8],
        is_last: bool,
        max_message_bytes: usize,
    ) -> Result<Option<Vec<u8>>, &'static str> {
        let found = self.messages.iter().position(|message| message.tag == tag);
        let index = found.ok_or("a piece that continues nothing")?;
        self.check_room(self.messages[index].bytes.len(), piece.len(), max_message_bytes)?;
        self.messages[index].bytes.extend_from_slice(piece);
        Ok(is_last.then(|| self.messages.swap_remove(index).bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_several_senders_make_the_messages_of_each() {
        let mut unfinished = Unfinished::default();
        unfinished.begin(1, b"ab", 10).expect("room");
        unfinished.begin(2, b"xy", 10).expect("room");
        assert_eq!(unfinished.go_on(1, b"c", false, 10), Ok(None));
        assert_eq!(unfinished.go_on(2, b"z", true, 10), Ok(Some(b"xyz".to_vec())));
        assert_eq!(unfinished.go_on(1, b"d", true, 10), Ok(Some(b"abcd".to_vec())));
        assert!(unfinished.is_empty());
        assert!(unfinished.go_on(1, b"e", true, 10).is_err());
    }

    #[test]
    fn a_dead_senders_message_is_kept_until_all_that_it_wrote_is_read() {
        let mut unfinished = Unfinished::default();
        unfinished.begin(1, b"ab", 10).expect("room");
        unfinished.begin(2, b"xy", 10).expect("room");
        unfinished.forget_dead(100, 150, |tag| tag == 2);
        assert_eq!(unfinished.messages.len(), 2, "its last piece may be on the way");
        unfinished.forget_dead(149, 400, |tag| tag == 2);
        assert_eq!(unfinished.messages.len(), 2);
        unfinished.forget_dead(150, 400, |tag| tag == 2);
        assert_eq!(unfinished.messages.len(), 1);
        assert_eq!(unfinished.messages[0].tag, 2);
    }

    #[test]
    fn memory_has_a_ceiling() {
        let mut unfinished = Unfinished::default();
        for tag in 0..5 {
            unfinished.begin(tag, &[0; 7], 10).expect("room");
        }
        assert!(unfinished.go_on(0, &[0; 4], false, 10).is_err(), "one too long");
        assert!(unfinished.go_on(0, &[0; 3], false, 10).is_ok());
        assert!(unfinished.go_on(1, &[0; 3], false, 10).is_err(), "all together too long");
        assert!(unfinished.begin(9, &[0; 3], 10).is_err(), "and so by another that begins");
        assert!(unfinished.begin(9, &[0; 11], 10).is_err(), "too long from the first piece on");
    }

    #[test]
    fn a_host_of_empty_messages_is_no_way_around_it() {
        let mut unfinished = Unfinished::default();
        let mut tags = 0..;
        while unfinished.begin(tags.next().expect("without end"), &[], 10).is_ok() {
            assert!(unfinished.messages.len() <= SENDERS_MAX + 1);
        }
        assert!(unfinished.messages.len() > 1_000, "honest senders are not so many");
    }
}
