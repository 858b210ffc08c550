//! Names that may stand in a shell's command line.

/// What is wrong with a host's name, if anything: the characters that OpenSSH refuses in one,
/// since a proxy command is read by a shell.
pub(crate) fn host(name: &str) -> Result<(), String> {
    let bad = |c: char| "'`\"$\\;&<>|(){},".contains(c) || c.is_whitespace() || c.is_control();
    check("host name", name, name.starts_with('-') || name.contains(bad))
}

/// What is wrong with a user's name, if anything: as for hosts, but OpenSSH lets a `$` and a
/// backslash be, as names in Windows domains have them. It lets blanks be, too, unless a `-` comes
/// behind.
pub(crate) fn user(name: &str) -> Result<(), String> {
    let bad = |c: char| "'`\";&<>|(){}".contains(c) || c.is_control();
    let option = name.starts_with('-')
        || name.split(char::is_whitespace).skip(1).any(|word| word.starts_with('-'));
    check("user name", name, option || name.ends_with('\\') || name.contains(bad))
}

fn check(what: &str, name: &str, bad: bool) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("the {what} is empty"));
    }
    if bad {
        let name = crate::printable(name.as_bytes());
        return Err(format!("the {what} {name:?} has characters in it that a shell would obey"));
    }
    Ok(())
}
