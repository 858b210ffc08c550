//! System users: the current one, and one with a password made for a test.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{geteuid, getuid};

use crate::keys::random_secret;

/// How long to wait for another process that is changing the user database.
const LOCK_PATIENCE: Duration = Duration::from_secs(20);

/// A system user with a random password, for logins by password at an [`Sshd`](super::Sshd).
///
/// Removed on drop with its home folder; what still runs as this user is killed first. The shell
/// is `/bin/sh`.
#[derive(Debug)]
pub struct PasswordUser {
    name: String,
    password: String,
    home: tempfile::TempDir,
}

impl PasswordUser {
    /// Creates the user. Needs root; otherwise the error is `PermissionDenied` and says so.
    pub fn create() -> io::Result<Self> {
        if !geteuid().is_root() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "creating a user with a password needs root",
            ));
        }
        let home = tempfile::Builder::new().prefix("test-home-").tempdir()?;
        let name = format!("tk{}", random_secret().to_lowercase().get(..12).unwrap_or("user"));
        let home_path = home.path().to_string_lossy().into_owned();
        run_patiently(
            "useradd",
            &["--no-create-home", "--home-dir", &home_path, "--shell", "/bin/sh", &name],
        )?;
        // From here on Drop removes the user.
        let user = Self { name, password: random_secret(), home };
        user.set_password(&user.password)?;
        run_patiently("chown", &[&format!("{}:", user.name), &home_path])?;
        Ok(user)
    }

    /// Gives the user another random password; the server is not told.
    pub fn change_password(&mut self) -> io::Result<()> {
        let password = random_secret();
        self.set_password(&password)?;
        self.password = password;
        Ok(())
    }

    /// Lets the password expire: PAM asks for it, and then for another, three prompts more.
    /// Whoever answers has changed it; [`password`](Self::password) doesn't know.
    pub fn expire_password(&self) -> io::Result<()> {
        run_patiently("chage", &["-d", "0", &self.name])
    }

    /// The name to log in with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The password as it is now.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The home folder.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    fn set_password(&self, password: &str) -> io::Result<()> {
        patiently("chpasswd", || {
            let mut child = Command::new("chpasswd")
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(format!("{}:{password}\n", self.name).as_bytes())?;
            }
            child.wait_with_output()
        })
    }
}

impl Drop for PasswordUser {
    fn drop(&mut self) {
        // --force: also while a login of this user is being ended.
        let _ = Command::new("pkill")
            .args(["-KILL", "-u", &self.name])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status();
        let _ = run_patiently("userdel", &["--force", &self.name]);
    }
}

/// The name of the user who runs this process.
pub(super) fn current_user() -> io::Result<String> {
    let uid = getuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let from_passwd = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    from_passwd
        .or_else(|| std::env::var("USER").ok())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("user {uid} has no name")))
}

fn run_patiently(program: &str, arguments: &[&str]) -> io::Result<()> {
    patiently(program, || {
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
    })
}

/// Repeats a command that found the user database locked by somebody else.
fn patiently(program: &str, mut run: impl FnMut() -> io::Result<Output>) -> io::Result<()> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        let output =
            run().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if !text.contains("lock") || Instant::now() > deadline {
            return Err(io::Error::other(format!("{program}: {}: {text}", output.status)));
        }
        thread::sleep(Duration::from_millis(50));
    }
}
