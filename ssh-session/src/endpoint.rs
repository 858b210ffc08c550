//! Whose session a pool of many hosts lends.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::{Identity, Options, SshError};

/// Checked [`Options`], equal to others where a session may be shared: by their [`Identity`]. The
/// key of a keyed pool. Cheap to clone.
#[derive(Clone)]
pub struct Endpoint(Arc<(Options, Identity)>);

impl Endpoint {
    /// Takes what is needed to open sessions.
    ///
    /// # Errors
    ///
    /// [`SshError::InvalidInput`] if the options make no sense.
    pub fn new(options: Options) -> Result<Self, SshError> {
        options.validate()?;
        let identity = options.identity();
        Ok(Self(Arc::new((options, identity))))
    }

    /// What sessions are opened with.
    pub fn options(&self) -> &Options {
        &self.0.0
    }

    /// Whose sessions they are.
    pub fn identity(&self) -> Identity {
        self.0.1
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Endpoint {}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.options().target).field(&self.identity()).finish()
    }
}
