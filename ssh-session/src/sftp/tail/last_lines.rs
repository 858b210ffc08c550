//! Where the last lines of a file begin, found from its end backwards.

/// A search for the start of the last lines.
#[derive(Debug)]
pub(super) struct LastLines {
    left: u64,
    at_end: bool,
}

impl LastLines {
    pub(super) fn new(lines: u64) -> Self {
        Self { left: lines, at_end: true }
    }

    /// Looks through the block before the one before; where in it the lines begin, if they do.
    pub(super) fn look(&mut self, block: &[u8]) -> Option<usize> {
        for (index, byte) in block.iter().enumerate().rev() {
            // The file's last byte ends a line, and begins none.
            let ends_the_file = std::mem::take(&mut self.at_end);
            if *byte == b'\n' && !ends_the_file {
                self.left -= 1;
                if self.left == 0 {
                    return Some(index + 1);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::LastLines;

    fn start(text: &[u8], lines: u64, block: usize) -> usize {
        let (mut search, mut end) = (LastLines::new(lines), text.len());
        while end > 0 {
            let begin = end.saturating_sub(block);
            if let Some(at) = search.look(&text[begin..end]) {
                return begin + at;
            }
            end = begin;
        }
        0
    }

    proptest! {
        /// The same lines as if the file were cut from its start, whatever the blocks.
        #[test]
        fn the_last_lines_are_found(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'a')], 0..80),
            lines in 1..10_u64,
            block in 1..20_usize,
        ) {
            let cut: Vec<_> = text.split_inclusive(|byte| *byte == b'\n').collect();
            let last = cut.len().saturating_sub(lines as usize);
            let expected: usize = cut[..last].iter().map(|line| line.len()).sum();
            prop_assert_eq!(start(&text, lines, block), expected);
        }
    }
}
