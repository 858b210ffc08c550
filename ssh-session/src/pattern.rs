//! The patterns of `ssh_config(5)` and of known_hosts files: `*`, `?`, and lists with `!`.

/// How letters are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Case {
    /// As they are.
    Kept,
    /// The pattern's capitals stand for small letters; the text has no capitals.
    Folded,
}

/// Whether a pattern matches the whole text.
pub(crate) fn matches(pattern: impl AsRef<[u8]>, text: impl AsRef<[u8]>, case: Case) -> bool {
    let (pattern, text) = (pattern.as_ref(), text.as_ref());
    let same = |wanted: u8, found: u8| match case {
        Case::Kept => wanted == found,
        Case::Folded => wanted.to_ascii_lowercase() == found,
    };
    let (mut p, mut n) = (0, 0);
    // Where to go on after the last `*`: the pattern behind it, and the text's first byte that
    // the `*` has not taken yet. Backtracking to the last one only keeps this quadratic.
    let mut star: Option<(usize, usize)> = None;
    while n < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                star = Some((p, n));
            }
            Some(c) if *c == b'?' || same(*c, text[n]) => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, n) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Whether a list between commas matches: one pattern does, and none with a `!` before it.
pub(crate) fn matches_list(patterns: impl AsRef<[u8]>, text: impl AsRef<[u8]>, case: Case) -> bool {
    let (patterns, text) = (patterns.as_ref(), text.as_ref());
    let mut matched = false;
    for pattern in patterns.split(|byte| *byte == b',') {
        match pattern.strip_prefix(b"!") {
            Some(negated) if matches(negated, text, case) => return false,
            Some(_) => {}
            None => matched |= matches(pattern, text, case),
        }
    }
    matched
}

#[cfg(test)]
mod tests {
    use super::{Case, matches, matches_list};

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "example.com", false),
            ("A?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("a*b", "a", false),
            ("a*b", "ab", true),
            ("web*.corp", "web", false),
            ("web*.corp", "web1.cor", false),
            ("*a", "", false),
            ("", "", true),
            ("a**", "a", true),
        ] {
            assert_eq!(matches(pattern, name, Case::Folded), expected, "{pattern} on {name}");
        }
        assert!(!matches("A", "a", Case::Kept));
    }

    #[test]
    fn a_negation_overrules() {
        let about = |patterns, name| matches_list(patterns, name, Case::Folded);
        assert!(about("*.x,!a.x", "b.x"));
        assert!(!about("*.x,!a.x", "a.x"));
        assert!(!about("!a.x,*.x", "a.x"));
        assert!(!about("!a.x", "b.x"), "a negation alone matches nothing");
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200);
        assert!(!matches(&pattern, "b".repeat(255), Case::Folded));
    }
}
