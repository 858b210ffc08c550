//! Key pairs, known_hosts lines and random secrets made for one run.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use russh::keys::key::safe_rng;
use ssh_key::rand_core::Rng;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, Kdf, LineEnding, PrivateKey};

/// Which kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `ssh-ed25519`, the default everywhere in this crate.
    Ed25519,
    /// `ecdsa-sha2-nistp256`.
    EcdsaP256,
    /// `ssh-rsa` with 2,048 bits. Made by `ssh-keygen`: an unoptimised build takes seconds for it.
    Rsa2048,
}

/// A key pair made for one run.
#[derive(Clone)]
pub struct KeyPair {
    private: PrivateKey,
}

impl KeyPair {
    /// Makes a new pair of this kind, without a passphrase.
    pub fn new(kind: KeyKind) -> io::Result<Self> {
        let algorithm = match kind {
            KeyKind::Ed25519 => Algorithm::Ed25519,
            KeyKind::EcdsaP256 => Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
            KeyKind::Rsa2048 => return Self::from_ssh_keygen(&["-t", "rsa", "-b", "2048"]),
        };
        let mut private = PrivateKey::random(&mut safe_rng(), algorithm).map_err(invalid)?;
        private.set_comment("test-servers");
        Ok(Self { private })
    }

    /// Makes a new ed25519 pair.
    pub fn ed25519() -> io::Result<Self> {
        Self::new(KeyKind::Ed25519)
    }

    /// Writes the private key in OpenSSH's format (mode 0600), and the public key beside it with
    /// `.pub` added to the name.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        self.write_private(&self.private, path)
    }

    /// Like [`write`](Self::write), with the private key encrypted by `passphrase`.
    ///
    /// The key derivation takes two rounds, so reading it back is quick and guards nothing.
    pub fn write_encrypted(&self, path: &Path, passphrase: &str) -> io::Result<()> {
        let mut salt = vec![0; 16];
        safe_rng().fill_bytes(&mut salt);
        let kdf = Kdf::Bcrypt { salt, rounds: 2 };
        let check = safe_rng().next_u32();
        let encrypted = self
            .private
            .encrypt_with(ssh_key::Cipher::Aes256Ctr, kdf, check, passphrase)
            .map_err(invalid)?;
        self.write_private(&encrypted, path)
    }

    /// The private key in OpenSSH's format, unencrypted.
    pub fn private_pem(&self) -> io::Result<String> {
        Ok(self.private.to_openssh(LineEnding::LF).map_err(invalid)?.to_string())
    }

    /// The public key as one line, as in `authorized_keys`, without a line end.
    pub fn public_line(&self) -> io::Result<String> {
        self.private.public_key().to_openssh().map_err(invalid)
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        self.private.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The private key as a value of the `ssh-key` crate.
    pub fn private_key(&self) -> &PrivateKey {
        &self.private
    }

    fn from_ssh_keygen(arguments: &[&str]) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("key");
        let status = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", "test-servers"])
            .args(arguments)
            .arg("-f")
            .arg(&path)
            .stdin(Stdio::null())
            .status()
            .map_err(|error| io::Error::new(error.kind(), format!("ssh-keygen: {error}")))?;
        if !status.success() {
            return Err(io::Error::other(format!("ssh-keygen failed: {status}")));
        }
        let private = PrivateKey::from_openssh(fs::read(&path)?).map_err(invalid)?;
        Ok(Self { private })
    }

    fn write_private(&self, private: &PrivateKey, path: &Path) -> io::Result<()> {
        let pem = private.to_openssh(LineEnding::LF).map_err(invalid)?;
        let _ = fs::remove_file(path);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(pem.as_bytes())?;
        let mut public = path.as_os_str().to_owned();
        public.push(".pub");
        fs::write(public, format!("{}\n", self.public_line()?))
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

/// The known_hosts line which says that the server at `address` holds the key of `public_line`.
///
/// Ends without a line end. The host is in brackets unless the port is 22, as OpenSSH writes it.
pub fn known_hosts_line(address: SocketAddr, public_line: &str) -> String {
    let key: Vec<&str> = public_line.split_whitespace().take(2).collect();
    let key = key.join(" ");
    match address.port() {
        22 => format!("{} {key}", address.ip()),
        port => format!("[{}]:{port} {key}", address.ip()),
    }
}

/// A new random text of 24 letters and digits, good as password, passphrase or marker.
pub fn random_secret() -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let mut bytes = [0; 24];
    safe_rng().fill_bytes(&mut bytes);
    bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect()
}

fn invalid(error: ssh_key::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A new random number from 0 to below 1.
pub(crate) fn random_fraction() -> f64 {
    f64::from(safe_rng().next_u32()) / (f64::from(u32::MAX) + 1.0)
}
