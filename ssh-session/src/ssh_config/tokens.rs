//! `%h` and its like.

/// Replaces `%` and a letter by what `value` gives for it, `%%` by `%`, and, where `environment` is
/// true, `${NAME}` by that variable.
///
/// What is wrong, for a letter without a value: nothing is guessed.
pub(crate) fn expand<'v>(
    template: &str,
    environment: bool,
    value: impl Fn(char) -> Option<&'v str>,
) -> Result<String, String> {
    let mut expanded = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['%', '$']) {
        expanded.push_str(&rest[..at]);
        let behind = &rest[at..];
        if let Some(name) = behind.strip_prefix("${").filter(|_| environment) {
            let (name, behind) = name.split_once('}').ok_or("has a `${` that is not closed")?;
            let variable = std::env::var(name).map_err(|_| {
                format!("names the variable {:?}, which is not set or no text", super::shown(name))
            })?;
            expanded.push_str(&variable);
            rest = behind;
        } else if let Some(behind) = behind.strip_prefix('$') {
            expanded.push('$');
            rest = behind;
        } else {
            let mut letters = behind[1..].chars();
            match letters.next() {
                Some('%') => expanded.push('%'),
                Some(letter) => expanded.push_str(value(letter).ok_or_else(|| {
                    format!("has the token `%{}`, which means nothing here", letter.escape_debug())
                })?),
                None => return Err("ends in a lone `%`".into()),
            }
            rest = letters.as_str();
        }
        if expanded.len() > MAX_LEN {
            return Err(format!("is longer than {MAX_LEN} bytes with its tokens replaced"));
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The longest result: what a path or a command may be on any system we know, and then some.
const MAX_LEN: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn tokens_are_replaced_once_and_unknown_ones_are_named() {
        let value = |letter| match letter {
            'h' => Some("%p"),
            'p' => Some("22"),
            _ => None,
        };
        assert_eq!(expand("%h:%p %% $x ${x", false, value).as_deref(), Ok("%p:22 % $x ${x"));
        assert!(expand("%x", false, value).expect_err("unknown").contains("%x"));
        assert!(expand("a%", false, value).is_err());
        assert!(expand("%é", false, value).is_err());
        assert!(expand("${HUSSH_TEST_NOT_SET}", true, value).is_err());
        assert!(expand("${HOME", true, value).is_err());
        assert_eq!(expand("${PATH}", true, value).ok(), std::env::var("PATH").ok());
    }
}
