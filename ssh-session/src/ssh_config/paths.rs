//! Paths of files as a configuration names them.

use std::path::{Path, PathBuf};

use super::local::Local;

/// The path behind a `~`. Homes of others are not looked up.
pub(super) fn in_home(behind: &str, local: &Local) -> Result<PathBuf, String> {
    let (user, rest) = behind.split_once('/').unwrap_or((behind, ""));
    if !user.is_empty() && user != local.user {
        return Err(format!("names the home of {:?}; only one's own is known", super::shown(user)));
    }
    if !local.home.is_absolute() {
        return Err("names the home folder, which is not known".into());
    }
    // A path that begins with a slash would replace the home.
    Ok(local.home.join(rest.trim_start_matches('/')))
}

/// A path with its `~`, its tokens and its variables replaced.
pub(super) fn expanded<'v>(
    path: &str,
    local: &Local,
    value: impl Fn(char) -> Option<&'v str>,
) -> Result<PathBuf, String> {
    let named = |problem| format!("{:?} {problem}", super::shown(path));
    let home;
    let path = match path.strip_prefix('~') {
        Some(behind) => {
            home = in_home(behind, local).map_err(named)?;
            home.to_str().ok_or_else(|| named("is in a home that is not UTF-8 text".into()))?
        }
        None => path,
    };
    let path = super::tokens::expand(path, true, value).map_err(named)?;
    if path.contains('\0') {
        return Err(named("has a NUL character in it".into()));
    }
    Ok(Path::new(&path).to_owned())
}
