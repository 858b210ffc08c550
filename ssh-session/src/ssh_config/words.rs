//! A line, cut into its keyword and arguments as `ssh` cuts it.

/// A line that says something.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words<'a> {
    /// In small letters.
    pub(super) keyword: String,
    /// The arguments, without their quotes, up to a comment.
    pub(super) arguments: Vec<String>,
    /// Everything behind the keyword: what a command or a list of jump hosts is read from.
    pub(super) rest: &'a str,
}

pub(crate) const BLANK: [char; 5] = [' ', '\t', '\r', '\n', '\u{c}'];

impl<'a> Words<'a> {
    /// `None` for an empty line or a comment; what is wrong, if the line makes no sense.
    pub(super) fn parse(line: &'a str) -> Result<Option<Self>, String> {
        let line = line.trim_matches(BLANK);
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        if line.contains('\0') {
            return Err("a NUL character is no text".into());
        }
        let (keyword, rest) = keyword(line)?;
        let keyword = keyword.to_ascii_lowercase();
        if rest.is_empty() {
            return Err(format!("`{}` has no argument", super::shown(&keyword)));
        }
        Ok(Some(Self { keyword, arguments: split(rest)?, rest }))
    }
}

/// The keyword, which may stand in quotes, and what is behind it, which a `=` may separate.
fn keyword(line: &str) -> Result<(&str, &str), String> {
    let (keyword, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or("a quote is not closed")?,
        None => match line.find(|c| BLANK.contains(&c) || c == '=' || c == '"') {
            Some(end) => line.split_at(end),
            None => (line, ""),
        },
    };
    let rest = rest.trim_start_matches(BLANK);
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok((keyword, rest.trim_start_matches(BLANK)))
}

/// The words of a command, in which a `#` is nothing special.
pub(super) fn split_command(text: &str) -> Result<Vec<String>, String> {
    split_until(text, None)
}

/// Arguments between blanks. Quotes of either kind keep blanks and `#`; a backslash keeps a quote,
/// itself and, outside quotes, a blank.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    split_until(text, Some('#'))
}

fn split_until(text: &str, end: Option<char>) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        match chars.peek() {
            None => return Ok(words),
            Some(c) if Some(*c) == end => return Ok(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next_if(|c| quote.is_some() || !matches!(c, ' ' | '\t')) {
            match c {
                '\\' => word.push(
                    chars
                        .next_if(|next| match next {
                            '\'' | '"' | '\\' => true,
                            ' ' => quote.is_none(),
                            _ => false,
                        })
                        .unwrap_or(c),
                ),
                '"' | '\'' if quote.is_none() => quote = Some(c),
                c if quote == Some(c) => quote = None,
                c => word.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed".into());
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    fn words(line: &str) -> (String, Vec<String>) {
        let words = Words::parse(line).expect(line).expect(line);
        (words.keyword, words.arguments)
    }

    #[test]
    fn blanks_equals_signs_quotes_and_comments_are_read_as_ssh_does() {
        for (line, keyword, arguments) in [
            ("Port 22", "port", &["22"][..]),
            ("  PORT=22 \t", "port", &["22"]),
            ("Port = 22\r", "port", &["22"]),
            ("\"Port\" 22", "port", &["22"]),
            ("User \"a b\" # c", "user", &["a b"]),
            ("User 'a\"b'", "user", &["a\"b"]),
            ("User a\\ b", "user", &["a b"]),
            ("User \"a\\\"b\\n\"", "user", &["a\"b\\n"]),
            ("Host a b#c \"#d\" #e f", "host", &["a", "b#c", "#d"]),
            ("User \"\"", "user", &[""]),
            ("User =x", "user", &["x"]),
        ] {
            assert_eq!(
                words(line),
                (keyword.into(), arguments.iter().map(|&a| a.into()).collect())
            );
        }
    }

    #[test]
    fn an_open_quote_or_a_lonely_keyword_is_an_error() {
        for line in ["User \"a", "User 'a\"", "User", "User =", "\"User", "User a\0b"] {
            assert!(Words::parse(line).is_err(), "{line:?}");
        }
        assert_eq!(Words::parse("  # User x"), Ok(None));
        assert_eq!(Words::parse(" \t"), Ok(None));
    }
}
