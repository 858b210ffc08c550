//! How a borrower finds the core that it acquires from.

use crate::domain::{Domain, LocalChecks, Single};
use crate::shared::Shared;

/// How a borrower finds its core.
#[doc(hidden)]
pub trait Locate<D: Domain>: Send + Sync + 'static {
    /// The core and its place; made where it is not known, `None` where the pool is closed. Runs
    /// outside all locks.
    fn locate(&self, shared: &Shared<D>) -> Option<(D::Key, D::Place)>;
    /// The core was forgotten between finding it and using it.
    #[allow(unused_variables)]
    fn lost(&self, shared: &Shared<D>, key: D::Key, place: &D::Place) {}
}

impl<P: LocalChecks> Locate<Single<P>> for () {
    #[inline]
    fn locate(&self, _shared: &Shared<Single<P>>) -> Option<((), ())> {
        Some(((), ()))
    }
}
