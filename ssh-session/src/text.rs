//! Text from a peer, made fit to be shown.

use std::fmt::Write as _;

/// The most characters of a peer's text that are shown.
const SHOWN: usize = 200;

/// Text from a peer on one line: control characters, escapes and text direction marks escaped,
/// bytes that are not UTF-8 replaced, cut after 200 characters.
pub fn printable(text: &[u8]) -> String {
    // Four bytes a character at most, so that a text of megabytes is not decoded whole.
    let head = &text[..text.len().min(SHOWN * 4)];
    let decoded = String::from_utf8_lossy(head);
    let mut shown = String::new();
    for (count, c) in decoded.trim_end().chars().enumerate() {
        if count == SHOWN {
            shown.push('…');
            break;
        }
        if c.is_control() || is_format(c) {
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Invisible characters that reorder or hide what stands around them.
pub(crate) fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn escape_sequences_are_shown_not_obeyed() {
        assert_eq!(printable(b"a\x1b[31mb\r\n"), "a\\u{1b}[31mb");
        assert_eq!(printable("x\u{202e}y".as_bytes()), "x\\u{202e}y");
    }

    #[test]
    fn a_megabyte_is_cut() {
        assert_eq!(printable(&vec![b'a'; 1 << 20]).chars().count(), 201);
    }
}
