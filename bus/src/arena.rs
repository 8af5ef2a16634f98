//! Memory for the bytes of records: many of them share one piece. A copy costs no allocation, and a piece is used again
//! once nobody holds any of its bytes, so that the kernel need not give, and clear, new pages for every batch.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Bytes of one piece.
const PIECE_BYTES: usize = 256 << 10;
/// Larger bytes are on their own: they would waste the end of a piece, and keep all of it for themselves.
const SHARED_BYTES_MAX: usize = PIECE_BYTES / 8;
/// Pieces that are kept to be used again: what a consumer and those behind it hold at once, 64 MiB.
const PIECES_MAX: usize = 256;

/// Copies bytes into shared pieces.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    piece: BytesMut,
    used: VecDeque<BytesMut>,
}

impl Arena {
    /// The bytes, in memory of our own.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        if bytes.len() > SHARED_BYTES_MAX {
            return Bytes::copy_from_slice(bytes);
        }
        if self.piece.capacity() - self.piece.len() < bytes.len() {
            self.next_piece();
        }
        self.piece.extend_from_slice(bytes);
        self.piece.split().freeze()
    }

    /// The oldest piece if it is free, otherwise a new one.
    fn next_piece(&mut self) {
        let is_free = self.used.front_mut().is_some_and(|oldest| oldest.try_reclaim(PIECE_BYTES));
        let free = if is_free { self.used.pop_front() } else { None };
        let full =
            std::mem::replace(&mut self.piece, free.unwrap_or_else(|| BytesMut::with_capacity(PIECE_BYTES)));
        if full.capacity() > 0 || !self.used.is_empty() {
            self.used.push_back(full);
        }
        // A piece that somebody keeps for good must not keep the others from being used again.
        if self.used.len() > PIECES_MAX {
            self.used.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_equal_and_independent() {
        let mut arena = Arena::default();
        let texts: Vec<Vec<u8>> =
            (0..20_000_usize).map(|number| vec![u8::try_from(number % 251).unwrap(); number % 700]).collect();
        let copies: Vec<Bytes> = texts.iter().map(|text| arena.copy(text)).collect();
        assert_eq!(copies, texts);
        assert!(arena.used.len() <= PIECES_MAX);
        let large = vec![7; SHARED_BYTES_MAX + 1];
        assert_eq!(arena.copy(&large), large);
    }

    #[test]
    fn pieces_are_used_again_once_nobody_holds_their_bytes() {
        let mut arena = Arena::default();
        let text = [1; 1_000];
        for _ in 0..100_000 {
            assert_eq!(arena.copy(&text).len(), 1_000);
        }
        assert!(arena.used.len() <= 2, "{} pieces for one record at a time", arena.used.len());
        let kept = arena.copy(&text);
        for _ in 0..10 * PIECES_MAX * PIECE_BYTES / 1_000 {
            arena.copy(&text);
        }
        assert!(arena.used.len() <= PIECES_MAX + 1);
        assert_eq!(kept, text.as_slice());
    }
}
