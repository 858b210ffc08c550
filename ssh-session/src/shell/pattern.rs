//! What is looked for in what a shell writes.

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;

use crate::SshError;

/// As much memory may a compiled pattern take, in bytes.
const MAX_COMPILED: usize = 4 << 20;

/// What is looked for in what a shell writes: these bytes, or a regular expression over bytes.
///
/// An expression is looked for each time more has come, in all that was not taken yet, and the
/// leftmost match counts. One that could go on, such as `\d+`, is found with as much of it as has
/// come: end it with what follows. `$` and `\z` are where what has come so far ends.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    /// The longest match, in bytes, where there is such a bound.
    longest: Option<usize>,
}

impl Pattern {
    /// Exactly these bytes, which must be some.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] where they are none, or too many.
    pub fn literal(bytes: impl AsRef<[u8]>) -> Result<Self, SshError> {
        let escape = |byte: &u8| format!(r"\x{byte:02x}");
        let escaped: String = bytes.as_ref().iter().map(escape).collect();
        Self::regex(&format!("(?-u){escaped}"))
    }

    /// A regular expression in the syntax of the crate `regex`, which matches bytes: `(?-u)` and
    /// `(?s)` are off, as is `(?m)`. It must not match nothing at all.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] where it is none.
    pub fn regex(expression: &str) -> Result<Self, SshError> {
        let invalid = |why: String| SshError::invalid("pattern", why);
        let regex = RegexBuilder::new(expression)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| invalid(format!("is no regular expression: {error}")))?;
        if regex.is_match(b"") {
            return Err(invalid("matches where there is nothing".into()));
        }
        let parsed = ParserBuilder::new().utf8(false).build().parse(expression);
        let longest = parsed.ok().and_then(|parsed| parsed.properties().maximum_len());
        Ok(Self { regex, longest })
    }

    pub(super) fn expression(&self) -> &Regex {
        &self.regex
    }

    /// Where to look next, where nothing was found in so many bytes.
    pub(super) fn resume(&self, searched: usize) -> usize {
        // What is looked at beside a match, for `\b` and `$`: one character.
        const BESIDE: usize = 4;
        self.longest.map_or(0, |longest| searched.saturating_sub(longest.saturating_add(BESIDE)))
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn bytes_stand_for_themselves_and_nothing_matches_nothing() {
        let pattern = Pattern::literal(b"a.\\n[\xff\0").expect("a pattern");
        assert!(pattern.expression().is_match(b"xa.\\n[\xff\0"));
        assert!(!pattern.expression().is_match(b"xab\\n[\xff\0"));
        assert_eq!(pattern.longest, Some(7));
        assert!(Pattern::literal("").is_err());
        for wrong in ["", "a*", "(", r"(?:\w{1000}){1000}"] {
            let error = Pattern::regex(wrong).expect_err(wrong).to_string();
            assert!(error.contains("pattern"), "{error}");
        }
        assert_eq!(Pattern::regex(r"[#>] ?$").expect("a pattern").longest, Some(2));
        assert_eq!(Pattern::regex("a+").expect("a pattern").longest, None);
    }
}
