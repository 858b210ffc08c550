//! Where a host's files are on this machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ssh_session::{SshError, Target};

/// A path on this machine for each host: a pattern in which `{host}`, `{port}` and `{user}` stand for
/// the host's and `{{` and `}}` for braces, or a function.
///
/// ```
/// use hussh::LocalPath;
///
/// let pattern: LocalPath = "logs/{host}/syslog".into();
/// let function = LocalPath::each(|target| format!("logs/{}.log", target.port()).into());
/// ```
#[derive(Clone)]
pub struct LocalPath(Kind);

#[derive(Clone)]
enum Kind {
    Pattern(String),
    /// Not text, and so no pattern.
    Path(PathBuf),
    Each(Arc<dyn Fn(&Target) -> PathBuf + Send + Sync>),
}

impl LocalPath {
    /// What the function says. It is called before anything is done, once for each host.
    pub fn each(path: impl Fn(&Target) -> PathBuf + Send + Sync + 'static) -> Self {
        Self(Kind::Each(Arc::new(path)))
    }

    /// # Errors
    ///
    /// Where the pattern is none, or a name in it would lead out of its folder.
    pub(super) fn for_host(&self, target: &Target) -> Result<PathBuf, SshError> {
        match &self.0 {
            Kind::Pattern(pattern) => expand(pattern, target),
            Kind::Path(path) => Ok(path.clone()),
            Kind::Each(path) => Ok(path(target)),
        }
    }
}

fn expand(pattern: &str, target: &Target) -> Result<PathBuf, SshError> {
    let mut path = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        path.push_str(before);
        if let Some(behind) = brace.strip_prefix("{{").or(brace.strip_prefix("}}")) {
            path.push_str(&brace[..1]);
            rest = behind;
            continue;
        }
        let named = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let Some((name, behind)) = named else {
            return Err(SshError::invalid("local", "has a brace without its partner"));
        };
        match name {
            "host" => path.push_str(file_name(target.host(), target)?),
            "user" => path.push_str(file_name(target.user(), target)?),
            "port" => path.push_str(&target.port().to_string()),
            other => {
                let problem =
                    format!("has {{{other}}} in it: {{host}}, {{port}} and {{user}} are known");
                return Err(SshError::invalid("local", problem));
            }
        }
        rest = behind;
    }
    path.push_str(rest);
    Ok(path.into())
}

/// A name that may stand in a path without leading elsewhere.
fn file_name<'n>(name: &'n str, target: &Target) -> Result<&'n str, SshError> {
    if name.contains('/') || name == "." || name == ".." {
        return Err(SshError::invalid("local", format!("cannot have {name:?} of {target} in it")));
    }
    Ok(name)
}

impl From<&str> for LocalPath {
    fn from(pattern: &str) -> Self {
        Self(Kind::Pattern(pattern.into()))
    }
}

impl From<String> for LocalPath {
    fn from(pattern: String) -> Self {
        Self(Kind::Pattern(pattern))
    }
}

impl From<&Path> for LocalPath {
    fn from(path: &Path) -> Self {
        path.to_owned().into()
    }
}

impl From<PathBuf> for LocalPath {
    fn from(path: PathBuf) -> Self {
        match path.into_os_string().into_string() {
            Ok(pattern) => pattern.into(),
            Err(path) => Self(Kind::Path(path.into())),
        }
    }
}

impl fmt::Debug for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Pattern(pattern) => write!(f, "LocalPath({pattern:?})"),
            Kind::Path(path) => write!(f, "LocalPath({path:?})"),
            Kind::Each(_) => f.write_str("LocalPath(a function)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use ssh_session::Target;

    use super::LocalPath;

    fn expand(pattern: &str, host: &str, user: &str) -> Result<String, String> {
        let target = Target::new(host, 2222, user).expect("a target");
        let path = LocalPath::from(pattern).for_host(&target).map_err(|error| error.to_string())?;
        Ok(path.to_str().expect("text").to_owned())
    }

    #[test]
    fn each_host_has_its_own_path_and_braces_can_be_said() {
        assert_eq!(expand("a/{user}@{host}:{port}", "h", "u"), Ok("a/u@h:2222".into()));
        assert_eq!(expand("{{{host}}}", "h", "u"), Ok("{h}".into()));
        assert_eq!(expand("plain", "h", "u"), Ok("plain".into()));
    }

    #[test]
    fn a_pattern_that_is_none_is_refused_and_so_is_a_name_that_leads_elsewhere() {
        for (pattern, host, user) in [
            ("{host", "h", "u"),
            ("host}", "h", "u"),
            ("{name}", "h", "u"),
            ("{}", "h", "u"),
            ("logs/{host}", "..", "u"),
            ("logs/{user}", "h", "../../etc/cron.d/x"),
        ] {
            let error = expand(pattern, host, user).expect_err(pattern);
            assert!(error.contains("`local`"), "{error}");
        }
    }
}
