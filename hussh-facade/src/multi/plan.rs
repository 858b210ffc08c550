//! What a call does on which host, before anything is done.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ssh_session::sftp::Transfer;
use ssh_session::{Command, Endpoint, FileError, SshError, Target};

use super::LocalPath;
use crate::Error;

/// How much is done at a time, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) hosts: usize,
    pub(crate) connects: usize,
    pub(crate) host_timeout: Option<Duration>,
    pub(crate) acquire_timeout: Option<Duration>,
}

impl Limits {
    /// What is left of a host's time, with the connect still to come: as long as that may take.
    pub(crate) fn to_connect(self, deadline: Option<Instant>, now: Instant) -> Option<Duration> {
        match (self.acquire_timeout, left(deadline, now)) {
            (Some(acquire), Some(left)) => Some(acquire.min(left)),
            (one, other) => one.or(other),
        }
    }
}

/// What is left until then.
pub(crate) fn left(deadline: Option<Instant>, now: Instant) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(now))
}

/// The hosts of a call in their order, with what is to be done on each.
pub(crate) struct Plan<J> {
    pub(crate) hosts: Vec<Planned<J>>,
}

/// One of them.
pub(crate) struct Planned<J> {
    pub(crate) endpoint: Endpoint,
    pub(crate) job: J,
}

impl<J> Planned<J> {
    pub(crate) fn target(&self) -> &Target {
        &self.endpoint.options().target
    }
}

impl<J> Plan<J> {
    /// Hosts for which there is no job are left out.
    pub(crate) fn new(endpoints: &[Endpoint], mut job: impl FnMut(&Target) -> Option<J>) -> Self {
        let hosts = endpoints.iter().filter_map(|endpoint| {
            let job = job(&endpoint.options().target)?;
            Some(Planned { endpoint: endpoint.clone(), job })
        });
        Self { hosts: hosts.collect() }
    }

    pub(crate) fn targets(&self) -> Arc<[Target]> {
        self.hosts.iter().map(|host| host.target().clone()).collect()
    }
}

impl<J> Plan<J> {
    pub(crate) fn map<K>(self, mut make: impl FnMut(J) -> K) -> Plan<K> {
        let hosts = self.hosts.into_iter();
        let map = |host: Planned<J>| Planned { endpoint: host.endpoint, job: make(host.job) };
        Plan { hosts: hosts.map(map).collect() }
    }
}

impl Plan<Command> {
    /// The same command for all.
    pub(crate) fn of_command(endpoints: &[Endpoint], command: &Command) -> Result<Self, Error> {
        command.validate_collected()?;
        Ok(Self::new(endpoints, |_| Some(command.clone())))
    }

    /// One for each host, of those for which there is one.
    pub(crate) fn of_commands<C: Into<Command>>(
        endpoints: &[Endpoint],
        mut command: impl FnMut(&Target) -> Option<C>,
    ) -> Result<Self, Error> {
        let plan = Self::new(endpoints, |target| command(target).map(Into::into));
        plan.hosts.iter().try_for_each(|host| host.job.validate_collected())?;
        Ok(plan)
    }
}

impl Plan<PathBuf> {
    /// A local path for each host; no two the same, where they are to be distinct.
    pub(crate) fn of_paths(
        endpoints: &[Endpoint],
        paths: &LocalPath,
        distinct: bool,
    ) -> Result<Self, Error> {
        let mut problem = None;
        let plan = Self::new(endpoints, |target| {
            paths.for_host(target).map_err(|error| problem = Some(error)).ok()
        });
        if let Some(problem) = problem {
            return Err(problem.into());
        }
        let mut seen = HashMap::new();
        for host in plan.hosts.iter().filter(|_| distinct) {
            if let Some(other) = seen.insert(&host.job, host.target()) {
                let problem = format!(
                    "is {} for both {other} and {}: say {{host}}, {{port}} or {{user}} in it",
                    host.job.display(),
                    host.target()
                );
                return Err(SshError::invalid("local", problem).into());
            }
        }
        Ok(plan)
    }
}

/// Files of a host, here and there.
pub(crate) struct Copying {
    pub(crate) local: PathBuf,
    pub(crate) remote: Arc<Path>,
    pub(crate) transfer: Transfer,
}

impl Plan<PathBuf> {
    pub(crate) fn copying(self, remote: &Path, transfer: &Transfer) -> Plan<Copying> {
        let remote: Arc<Path> = remote.into();
        self.map(|local| Copying { local, remote: Arc::clone(&remote), transfer: transfer.clone() })
    }
}

impl Copying {
    /// Makes the folders that the local path is in.
    pub(crate) fn make_folders(local: &Path, target: &Target) -> Result<(), Error> {
        let Some(folder) = local.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
            return Ok(());
        };
        fs::create_dir_all(folder).map_err(|error| {
            SshError::File(Box::new(FileError::local(target, folder, &error))).into()
        })
    }
}
