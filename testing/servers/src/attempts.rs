//! Refused logins, as a server counted them.

/// How often a server refused each kind of credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Keys, certificates among them. A key that is asked about first and then used is one.
    pub public_key: usize,
    /// Passwords.
    pub password: usize,
    /// Answers to prompts: a whole exchange is one.
    pub keyboard_interactive: usize,
}

impl Attempts {
    /// All together.
    pub fn total(self) -> usize {
        self.public_key + self.password + self.keyboard_interactive
    }
}
