//! What may be used to log in, whatever there is.

use super::login::Method;

/// What keys have to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyRules {
    /// The fewest bits that an RSA key may have: a server's, its authority's and a user's.
    /// `RequiredRSASize` of `ssh_config(5)`; default 1,024, as there. It cannot be less.
    pub required_rsa_size: u32,
    /// Whether a private key file of the user's own that others may read or write is refused, as
    /// by `ssh`. Default true.
    pub strict_modes: bool,
}

impl KeyRules {
    /// The default of [`required_rsa_size`](Self::required_rsa_size), and the least it can be.
    pub const REQUIRED_RSA_SIZE: u32 = 1024;
}

impl Default for KeyRules {
    fn default() -> Self {
        Self { required_rsa_size: Self::REQUIRED_RSA_SIZE, strict_modes: true }
    }
}

/// Which methods of authentication are used, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Methods {
    /// `PasswordAuthentication`. Default true.
    pub password: bool,
    /// `PubkeyAuthentication`. Default true.
    pub public_key: bool,
    /// `KbdInteractiveAuthentication`. Default true.
    pub keyboard_interactive: bool,
    /// `PreferredAuthentications`: these only, the first one first. Default `None`, which sends
    /// credentials in the order in which they are given.
    pub preferred: Option<Vec<Method>>,
}

impl Default for Methods {
    fn default() -> Self {
        Self { password: true, public_key: true, keyboard_interactive: true, preferred: None }
    }
}

impl Methods {
    /// Whether a method is used at all.
    pub fn allow(&self, method: Method) -> bool {
        let is_on = match method {
            Method::Password => self.password,
            Method::PublicKey => self.public_key,
            Method::KeyboardInteractive => self.keyboard_interactive,
        };
        is_on && self.preferred.as_ref().is_none_or(|preferred| preferred.contains(&method))
    }

    /// Its place in the order; lower goes first.
    pub(super) fn rank(&self, method: Method) -> usize {
        let preferred = self.preferred.iter().flatten();
        preferred.clone().position(|one| *one == method).unwrap_or(0)
    }
}
