//! Who and where we are.

use std::fs;
use std::path::PathBuf;

/// This machine's side of the tokens.
#[derive(Debug, Clone)]
pub(super) struct Local {
    pub(super) user: String,
    pub(super) uid: String,
    /// Empty where there is none.
    pub(super) home: PathBuf,
    pub(super) host_name: String,
}

impl Local {
    pub(super) fn here() -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self {
            user: user_name(uid),
            uid: uid.to_string(),
            home: std::env::home_dir().unwrap_or_default(),
            host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        }
    }
}

/// The name that `/etc/passwd` has for this number; for users who are known elsewhere, the one that
/// the login left in the environment.
fn user_name(uid: u32) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    let variable = |name| std::env::var(name).ok().filter(|name| !name.is_empty());
    named.or_else(|| variable("LOGNAME")).or_else(|| variable("USER")).unwrap_or_default()
}
