//! What a system user may do by `sudo`.

use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::keys::random_secret;

/// Where `sudo` looks for rules. It reads no file that is writable for others.
const RULES: &str = "/etc/sudoers.d";

/// Rules for `sudo`, as lines of `sudoers(5)`; taken away on drop.
#[derive(Debug)]
pub struct Sudoers {
    file: PathBuf,
}

impl Sudoers {
    /// Adds rules. Needs root.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written, or `sudo` is not there: the text says which.
    pub fn add(rules: &str) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        // sudo leaves out names with a dot in them, so that nobody reads half a file.
        let name = format!("test-{}", random_secret().to_lowercase());
        let half = PathBuf::from(RULES).join(format!("{name}.new"));
        let file = PathBuf::from(RULES).join(name);
        let mut options = std::fs::OpenOptions::new();
        let mut new =
            options.write(true).create_new(true).mode(0o440).open(&half).map_err(|error| {
                let text =
                    format!("{}: {error}; install sudo and run the tests as root", half.display());
                io::Error::new(error.kind(), text)
            })?;
        new.write_all(rules.as_bytes())?;
        new.write_all(b"\n")?;
        std::fs::rename(&half, &file)?;
        Ok(Self { file })
    }
}

impl Drop for Sudoers {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
