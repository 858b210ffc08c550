//! What the proxy does to the traffic at this moment.

use std::time::Duration;

/// One way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Faults of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DirectionFaults {
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
    pub(super) bytes_per_second: Option<u64>,
    pub(super) held: bool,
    pub(super) cut_after: Option<u64>,
    pub(super) hold_after: Option<u64>,
    pub(super) corrupt_at: Option<u64>,
}

impl DirectionFaults {
    /// How many more bytes may pass before all is silence, when so many have; `None` for any.
    pub(super) fn room(&self, passed: u64) -> Option<u64> {
        if self.held { Some(0) } else { Some(self.hold_after?.saturating_sub(passed)) }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    pub(super) to_server: DirectionFaults,
    pub(super) to_client: DirectionFaults,
    /// Connections are accepted, and that was all.
    pub(super) silent: bool,
    pub(super) slow_banner: Option<Duration>,
    pub(super) forget_idle_after: Option<Duration>,
}

impl Faults {
    pub(super) fn way(&self, direction: Direction) -> &DirectionFaults {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    pub(super) fn way_mut(&mut self, direction: Direction) -> &mut DirectionFaults {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }

    pub(super) fn is_black_hole(&self) -> bool {
        self.to_server.held && self.to_client.held
    }
}
