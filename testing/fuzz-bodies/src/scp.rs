//! Any bytes as what the sending side of an SCP transfer says.

use std::os::unix::ffi::OsStrExt as _;

use ssh_session::scp::{Said, Source};

/// A server whose `scp` says these bytes, whole or in pieces: no panic, the same said of the whole and
/// the pieces, no name that leads anywhere else, no set-id bit, no file longer than it said, and no
/// error that is long or has control characters in it.
///
/// # Errors
///
/// What did not hold.
pub fn run_scp(bytes: &[u8]) -> Result<(), String> {
    let whole = said(&[bytes])?;
    for place in [1, 4, bytes.len() / 2] {
        if let Some((one, other)) = bytes.split_at_checked(place)
            && said(&[one, other])? != whole
        {
            return Err(format!("cut after {place}, they are something else"));
        }
    }
    Ok(())
}

fn said(pieces: &[&[u8]]) -> Result<String, String> {
    let (mut source, mut text) = (Source::default(), String::new());
    let mut pieces = pieces.iter();
    let mut room = 0;
    let mut content = Vec::new();
    loop {
        match source.read() {
            Ok(Said::Incomplete) => match pieces.next() {
                Some(piece) => source.give(piece),
                None => return Ok(format!("{text} {} {}", content.len(), source.is_between())),
            },
            Ok(Said::Content(bytes)) => {
                content.extend_from_slice(&bytes);
                room = u64::checked_sub(room, bytes.len() as u64).ok_or("more than it said")?;
            }
            Ok(said) => {
                match &said {
                    Said::File { mode, size, name } => {
                        room = *size;
                        check(*mode, name.as_bytes())?;
                    }
                    Said::Directory { mode, name } => check(*mode, name.as_bytes())?,
                    Said::Warning(words) | Said::Fatal(words) => super::fit_to_show(words)?,
                    _ => {}
                }
                text.push_str(&format!("{said:?}"));
            }
            Err(error) => {
                super::fit_to_show(&error)?;
                return Ok(format!("{text} {error}"));
            }
        }
    }
}

fn check(mode: u32, name: &[u8]) -> Result<(), String> {
    let leads_out = name.is_empty() || name == b"." || name == b"..";
    if leads_out || name.contains(&b'/') || name.contains(&0) || mode > 0o777 {
        return Err(format!("{name:?} is taken, with the mode {mode:o}"));
    }
    Ok(())
}
