//! Whom to talk to.

use std::fmt;
use std::sync::Arc;

use crate::SshError;
use crate::text::is_format;

/// A user on a host: where a session goes. Cheap to clone.
///
/// A target that exists is valid: none of its parts is empty or holds control
/// characters or invisible ones.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target(Arc<Parts>);

#[derive(PartialEq, Eq, Hash)]
struct Parts {
    host: String,
    port: u16,
    user: String,
}

impl Target {
    /// The longest host name: what DNS allows.
    const MAX_HOST: usize = 255;
    /// The longest user name.
    const MAX_USER: usize = 255;

    /// A user on a host. `host` is a name or an address; IPv6 addresses may stand in brackets.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if a part is empty, too long, or has control characters,
    /// invisible ones or spaces in it, or if the port is 0.
    pub fn new(
        host: impl Into<String>,
        port: u16,
        user: impl Into<String>,
    ) -> Result<Self, SshError> {
        let (mut host, user) = (host.into(), user.into());
        if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            host = inner.to_owned();
        }
        check("host", &host, Self::MAX_HOST)?;
        if host.contains([' ', '\t', '/', '@', ',']) || host.starts_with('-') {
            return Err(SshError::invalid("host", "is not a host name or address"));
        }
        check("username", &user, Self::MAX_USER)?;
        if port == 0 {
            return Err(SshError::invalid("port", "must be between 1 and 65535, not 0"));
        }
        Ok(Self(Arc::new(Parts { host, port, user })))
    }

    /// The host's name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.0.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The user to log in as.
    pub fn user(&self) -> &str {
        &self.0.user
    }
}

fn check(field: &'static str, value: &str, max: usize) -> Result<(), SshError> {
    if value.is_empty() {
        return Err(SshError::invalid(field, "must not be empty"));
    }
    if value.len() > max {
        return Err(SshError::invalid(field, format!("is longer than {max} bytes")));
    }
    if value.chars().any(char::is_control) {
        return Err(SshError::invalid(field, "has NUL or another control character in it"));
    }
    // It stands in errors as it is.
    if value.chars().any(is_format) {
        return Err(SshError::invalid(field, "has invisible characters in it"));
    }
    Ok(())
}

/// `user@host`, or `user@host:port` where the port is not 22.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { host, port, user } = &*self.0;
        match (host.contains(':'), *port) {
            (_, 22) => write!(f, "{user}@{host}"),
            (true, port) => write!(f, "{user}@[{host}]:{port}"),
            (false, port) => write!(f, "{user}@{host}:{port}"),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn nonsense_is_refused_with_the_fields_name() {
        for (host, port, user, field) in [
            ("", 22, "u", "host"),
            ("a\0b", 22, "u", "host"),
            ("a b", 22, "u", "host"),
            ("-oProxyCommand=x", 22, "u", "host"),
            ("a\u{202e}b", 22, "u", "host"),
            ("h", 22, "u\u{200b}", "username"),
            ("h", 0, "u", "port"),
            ("h", 22, "", "username"),
            ("h", 22, "u\n", "username"),
        ] {
            let error = Target::new(host, port, user).expect_err(host);
            assert!(error.to_string().contains(field), "{error} names {field}");
        }
    }

    #[test]
    fn it_is_shown_as_users_write_it() {
        let show = |host, port| Target::new(host, port, "u").expect("valid").to_string();
        assert_eq!(show("h", 22), "u@h");
        assert_eq!(show("h", 2222), "u@h:2222");
        assert_eq!(show("[::1]", 2222), "u@[::1]:2222");
    }
}
