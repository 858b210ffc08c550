//! Keys, certificates and agents for all cells: right ones, and wrong ones of the same kinds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use test_servers::agent::Agent;
use test_servers::authority::Authority;
use test_servers::keys::random_secret;
use test_servers::sshd::PasswordUser;

/// Which credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Right,
    Wrong,
}

/// Name, whether encrypted, and what `ssh-keygen` is told.
const KEYS: [(&str, bool, &[&str]); 8] = [
    ("ed25519", false, &["-t", "ed25519"]),
    ("ecdsa", false, &["-t", "ecdsa"]),
    ("rsa", false, &["-t", "rsa", "-b", "2048"]),
    ("ecdsa.pem", false, &["-t", "ecdsa", "-m", "PEM"]),
    ("rsa.pem", false, &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
    ("encrypted", true, &["-t", "ed25519", "-a", "1"]),
    ("encrypted.pem", true, &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
    ("certified", false, &["-t", "ed25519"]),
];

/// What all cells have in common.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
    passphrase: String,
    authority: Authority,
    user: Arc<PasswordUser>,
    agents: [Agent; 2],
    full_agent: Agent,
    certified_agents: [Agent; 2],
}

impl Fixture {
    pub(crate) fn new() -> Result<Self> {
        let fixture = Self {
            folder: tempfile::tempdir()?,
            passphrase: random_secret(),
            authority: Authority::new()?,
            user: Arc::new(PasswordUser::create()?),
            agents: [Agent::start()?, Agent::start()?],
            full_agent: Agent::start()?,
            certified_agents: [Agent::start()?, Agent::start()?],
        };
        let other_authority = Authority::new()?;
        for (side, authority) in
            [(Side::Right, &fixture.authority), (Side::Wrong, &other_authority)]
        {
            fs::create_dir(fixture.side(side))?;
            for (name, encrypted, arguments) in KEYS {
                let passphrase = if encrypted { fixture.passphrase.as_str() } else { "" };
                keygen(&fixture.key(side, name), passphrase, arguments)?;
            }
            fixture.agents[side as usize].add(&fixture.key(side, "ed25519"))?;
            // For whom it is is known once there is a server.
            let users = format!("{},demo", fixture.user.name());
            authority.certify_user(&fixture.key(side, "certified"), &users)?;
            fixture.certified_agents[side as usize]
                .add_certificate(&fixture.key(side, "certified"))?;
        }
        // The wrong key comes first, and both must not be sent.
        for (side, name) in [
            (Side::Wrong, "rsa"),
            (Side::Right, "rsa"),
            (Side::Wrong, "ed25519"),
            (Side::Right, "ed25519"),
        ] {
            fixture.full_agent.add(&fixture.key(side, name))?;
        }
        Ok(fixture)
    }

    pub(crate) fn key(&self, side: Side, name: &str) -> PathBuf {
        self.side(side).join(name)
    }

    /// The public halves of all right keys but the certified one, and of the one in the home.
    pub(crate) fn authorized(&self) -> Result<Vec<String>> {
        let names = KEYS.map(|(name, ..)| name).into_iter().filter(|name| *name != "certified");
        let files = names.map(|name| self.key(Side::Right, &format!("{name}.pub")));
        let home = std::env::home_dir().context("no home")?.join(".ssh/id_ed25519.pub");
        files.chain([home]).map(|file| Ok(fs::read_to_string(file)?.trim().to_owned())).collect()
    }

    pub(crate) fn passphrase(&self) -> &str {
        &self.passphrase
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A user of this system, whom every sshd knows.
    pub(crate) fn user(&self) -> &Arc<PasswordUser> {
        &self.user
    }

    /// An agent with the ed25519 key.
    pub(crate) fn agent(&self, side: Side) -> PathBuf {
        self.agents[side as usize].socket()
    }

    /// An agent with more keys than a server would let be tried.
    pub(crate) fn full_agent(&self) -> PathBuf {
        self.full_agent.socket()
    }

    /// An agent with the certificate.
    pub(crate) fn certified_agent(&self, side: Side) -> PathBuf {
        self.certified_agents[side as usize].socket()
    }

    fn side(&self, side: Side) -> PathBuf {
        self.folder.path().join(match side {
            Side::Right => "right",
            Side::Wrong => "wrong",
        })
    }
}

/// The default keys of a home: one that is encrypted, which `Auto` passes over, and one that is
/// not.
pub(crate) fn fill_home(home: &Path) -> Result<()> {
    let folder = home.join(".ssh");
    fs::create_dir(&folder)?;
    keygen(&folder.join("id_ecdsa"), "a passphrase", &["-t", "ecdsa", "-a", "1"])?;
    keygen(&folder.join("id_ed25519"), "", &["-t", "ed25519"])
}

fn keygen(path: &Path, passphrase: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-C", "", "-N", passphrase])
        .args(arguments)
        .arg("-f")
        .arg(path)
        .stdin(Stdio::null())
        .status()
        .context("ssh-keygen")?;
    ensure!(status.success(), "ssh-keygen failed for {}", path.display());
    Ok(())
}
