//! What ends with the connection that it was opened on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What can be closed at once: a tunnel, or a forwarding.
pub trait Close: Send + Sync {
    /// Ends it in both directions. Never waits; whoever waits on it gets [`SshError::Closed`], and calls
    /// after the first do nothing.
    ///
    /// [`SshError::Closed`]: crate::SshError::Closed
    fn close(&self);
}

/// The tunnels and forwardings of one connection, ended when this is dropped, without waiting.
#[derive(Default)]
pub struct OpenTunnels(Mutex<Vec<Weak<dyn Close>>>);

impl OpenTunnels {
    /// Has one end with the connection, if it is still there by then.
    pub fn add<T: Close + 'static>(&self, tunnel: &Arc<T>) {
        let weak = Arc::downgrade(tunnel) as Weak<dyn Close>;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Before it would grow, so that each costs the same however many there were.
        if open.len() == open.capacity() {
            open.retain(|other| other.strong_count() > 0);
        }
        open.push(weak);
    }
}

impl Drop for OpenTunnels {
    fn drop(&mut self) {
        let open = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for tunnel in open.drain(..).filter_map(|tunnel| tunnel.upgrade()) {
            tunnel.close();
        }
    }
}

impl fmt::Debug for OpenTunnels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenTunnels").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Close, OpenTunnels};

    struct Counted(Arc<AtomicUsize>);

    impl Close for Counted {
        fn close(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn those_that_are_there_are_ended_and_those_that_were_are_forgotten() {
        let ended = Arc::new(AtomicUsize::new(0));
        let open = OpenTunnels::default();
        for _ in 0..1_000 {
            open.add(&Arc::new(Counted(Arc::clone(&ended))));
        }
        assert!(open.0.lock().expect("sane").capacity() < 16);
        let kept: Vec<_> = (0..100).map(|_| Arc::new(Counted(Arc::clone(&ended)))).collect();
        kept.iter().for_each(|one| open.add(one));
        drop(open);
        assert_eq!(ended.load(Ordering::Relaxed), 100);
    }
}
