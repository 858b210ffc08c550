//! `[user@]host[:port]` and `ssh://[user@]host[:port]`.

use std::fmt;

use crate::valid;

/// A host as `ProxyJump` names it: an alias to be looked up in the configuration, with a user and
/// a port that go before those of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// As whom, if it says.
    pub user: Option<String>,
    /// The host's name as written, without brackets.
    pub host: String,
    /// On which port, if it says.
    pub port: Option<u16>,
}

impl Destination {
    /// The host that a text names.
    ///
    /// # Errors
    ///
    /// What is wrong, if it is not of one of the two forms, or has shell characters in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("{:?} is not [user@]host[:port]", super::shown(text));
        let (place, is_uri) = match text.strip_prefix("ssh://") {
            Some(place) => (place, true),
            None => (text, false),
        };
        // A user's name may have an `@` in it, as users of some directories have.
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        let place = if is_uri { place.strip_suffix('/').unwrap_or(place) } else { place };
        let (host, port) = match place.strip_prefix('[') {
            Some(place) => {
                let (host, behind) = place.split_once(']').ok_or_else(bad)?;
                match behind.strip_prefix(':') {
                    Some(port) => (host, Some(port)),
                    None if behind.is_empty() => (host, None),
                    None => return Err(bad()),
                }
            }
            None => match place.split_once(':') {
                // More than one colon is an IPv6 address without a port.
                Some((_, port)) if port.contains(':') => (place, None),
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = match port {
            None | Some("") => None,
            Some(port) => Some(super::value::port(port)?),
        };
        let user = match user.map(|user| if is_uri { decode(user) } else { Some(user.into()) }) {
            None => None,
            Some(Some(user)) if !user.is_empty() => Some(user),
            Some(_) => return Err(bad()),
        };
        if host.is_empty() {
            return Err(bad());
        }
        // Tokens are replaced later, and then looked at again.
        valid::host(host)?;
        user.as_deref().map_or(Ok(()), valid::user)?;
        Ok(Self { user, host: host.to_owned(), port })
    }

    /// With `%h`, `%n`, `%p` and `%r` replaced by these, in this order.
    pub(super) fn expanded(self, [h, n, p, r]: [&str; 4]) -> Result<Self, String> {
        let token = |letter| match letter {
            'h' => Some(h),
            'n' => Some(n),
            'p' => Some(p),
            'r' => Some(r),
            _ => None,
        };
        let named = |problem| format!("`ProxyJump` {problem}");
        let expand = |text: &str| super::tokens::expand(text, false, token).map_err(named);
        let user = self.user.as_deref().map(expand).transpose()?;
        let host = expand(&self.host)?;
        valid::host(&host)?;
        user.as_deref().map_or(Ok(()), valid::user)?;
        Ok(Self { user, host, port: self.port })
    }
}

/// `%40` and its like in a URI's user.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
                u8::from_str_radix(digits, 16).ok().filter(|byte| plain && *byte != 0)?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.host.contains(':'), self.port) {
            (true, Some(port)) => write!(f, "[{}]:{port}", self.host),
            (false, Some(port)) => write!(f, "{}:{port}", self.host),
            (true, None) => write!(f, "[{}]", self.host),
            (false, None) => f.write_str(&self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Destination;

    #[test]
    fn every_form_is_read() {
        for (text, user, host, port) in [
            ("h", None, "h", None),
            ("u@h", Some("u"), "h", None),
            ("u@d@h:22", Some("u@d"), "h", Some(22)),
            ("h:2222", None, "h", Some(2222)),
            ("h:", None, "h", None),
            ("::1", None, "::1", None),
            ("[::1]", None, "::1", None),
            ("u@[::1]:2222", Some("u"), "::1", Some(2222)),
            ("ssh://h", None, "h", None),
            ("ssh://u%40d@h:2222/", Some("u@d"), "h", Some(2222)),
        ] {
            let read = Destination::parse(text).expect(text);
            let expected = Destination { user: user.map(Into::into), host: host.into(), port };
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn what_no_host_can_be_is_refused() {
        for text in [
            "",
            "@h",
            "u@",
            "h:0",
            "h:x",
            "h:65536",
            "[::1",
            "[::1]x",
            "-h",
            "-u@h",
            "h;reboot",
            "$(x)",
            "u`x`@h",
            "ssh://u%zz@h",
            "ssh://u%0@h",
            "ssh://u%00@h",
            "ssh://h:22/x",
            "a b",
        ] {
            assert!(Destination::parse(text).is_err(), "{text:?}");
        }
    }
}
