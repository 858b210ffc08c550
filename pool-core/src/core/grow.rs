//! How the vectors of a core grow.

/// Makes room for one more, as a vector does by itself, but for `most` at most where that is enough.
pub(super) fn grow<T>(vec: &mut Vec<T>, most: usize) {
    if vec.len() == vec.capacity() {
        let doubled = most.saturating_sub(vec.len()).min(vec.len().max(4));
        vec.reserve_exact(doubled.max(1));
    }
}
