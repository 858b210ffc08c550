//! A service of PAM for one server: sshd takes the service's name from its program's name.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::keys::random_secret;

/// Where PAM looks for services.
const SERVICES: &str = "/etc/pam.d";

/// Passwords of the system's users, wrong ones refused at once; an expired one has to be changed,
/// so that there are several prompts.
const SERVICE: &str = "\
    auth required pam_unix.so nodelay\n\
    account required pam_unix.so\n\
    password required pam_unix.so\n\
    session required pam_permit.so\n";

/// The service's file; removed on drop.
#[derive(Debug)]
pub(super) struct Service {
    file: PathBuf,
    program: PathBuf,
}

impl Service {
    /// Makes a service, and a second name for `sshd` in `folder`. Needs root.
    pub(super) fn create(sshd: &Path, folder: &Path) -> io::Result<Self> {
        let name = format!("test-{}", random_secret());
        let service = Self { file: Path::new(SERVICES).join(&name), program: folder.join(&name) };
        symlink(sshd, &service.program)?;
        std::fs::write(&service.file, SERVICE).map_err(|error| {
            let text = format!("{}: {error}; run the tests as root", service.file.display());
            io::Error::new(error.kind(), text)
        })?;
        Ok(service)
    }

    /// The server's program under the service's name.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// The service's name.
    pub(super) fn name(&self) -> &str {
        self.file.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
