//! The names of a host.

pub(crate) const DEFAULT_PORT: u16 = 22;

/// The names a host has in the files, in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// With the port, if it isn't 22.
    pub(super) own: String,
    /// By which it may be known, too, if its own name is not.
    pub(super) without_port: Option<String>,
}

impl Names {
    pub(crate) fn of(host: &str, port: u16) -> Self {
        let host = host.to_ascii_lowercase();
        match port {
            DEFAULT_PORT => Self { own: host, without_port: None },
            port => Self { own: format!("[{host}]:{port}"), without_port: Some(host) },
        }
    }

    /// A name that stands for host and port.
    pub(crate) fn alias(alias: &str) -> Self {
        Self { own: alias.to_ascii_lowercase(), without_port: None }
    }

    /// The name that is recorded.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// What host certificates must be for.
    pub(crate) fn principal(&self) -> &str {
        self.without_port.as_deref().unwrap_or(&self.own)
    }

    /// Whether the name would stand for itself in a file.
    pub(crate) fn can_be_written(&self) -> bool {
        let name = self.principal();
        let bad = |c: char| "@?*#[]|'\"\\!,".contains(c) || c.is_whitespace() || c.is_control();
        !name.is_empty() && !name.contains(bad)
    }
}
