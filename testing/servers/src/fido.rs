//! An agent that holds one key in a security key (FIDO/U2F), without the device: it signs as one.
//!
//! The key's type is `sk-ssh-ed25519@openssh.com` or `sk-ecdsa-sha2-nistp256@openssh.com` (OpenSSH's
//! PROTOCOL.u2f).

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use russh::keys::signature::Signer as _;
use sha2::{Digest as _, Sha256};
use ssh_key::private::{EcdsaKeypair, KeypairData};

use crate::keys::{KeyKind, KeyPair};
use crate::scripted::Packet;

const ED25519: &str = "sk-ssh-ed25519@openssh.com";
const ECDSA: &str = "sk-ecdsa-sha2-nistp256@openssh.com";
const APPLICATION: &str = "ssh:";

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const FAILURE: u8 = 5;

/// Somebody touched the device.
const TOUCHED: u8 = 1;

/// The longest request.
const LONGEST: usize = 256 << 10;

/// A running agent; stopped when dropped.
#[derive(Debug)]
pub struct FidoAgent {
    folder: tempfile::TempDir,
    public: Vec<u8>,
    signatures: Arc<AtomicU32>,
}

impl FidoAgent {
    /// An agent that holds a new key of this kind.
    ///
    /// # Errors
    ///
    /// Those of its socket, and devices have no RSA keys.
    pub fn start(kind: KeyKind) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("test-fido-").tempdir()?;
        let key = KeyPair::new(kind)?;
        let (name, public) = match key.private_key().key_data() {
            KeypairData::Ed25519(pair) => {
                (ED25519, Packet::default().string(ED25519).string(pair.public.0))
            }
            KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public, .. }) => {
                let packet = Packet::default().string(ECDSA).string("nistp256");
                (ECDSA, packet.string(public.as_bytes()))
            }
            _ => return Err(io::Error::other("devices have no such keys")),
        };
        let public = public.string(APPLICATION).0;
        let listener = UnixListener::bind(folder.path().join("socket"))?;
        let signatures = Arc::new(AtomicU32::new(0));
        let device = Device { key, name, public: public.clone(), counter: Arc::clone(&signatures) };
        thread::Builder::new().name("fido-agent".into()).spawn(move || {
            // Ends with the first client behind its folder's end.
            while let Ok((stream, _)) = listener.accept() {
                if listener
                    .local_addr()
                    .is_ok_and(|address| address.as_pathname().is_none_or(|path| !path.exists()))
                {
                    return;
                }
                let device = device.clone();
                thread::spawn(move || device.serve(stream));
            }
        })?;
        Ok(Self { folder, public, signatures })
    }

    /// What `SSH_AUTH_SOCK` is to be.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The public key, as a line of `authorized_keys(5)`.
    ///
    /// # Errors
    ///
    /// None that are known.
    pub fn public_line(&self) -> io::Result<String> {
        let key = ssh_key::PublicKey::from_bytes(&self.public).map_err(io::Error::other)?;
        key.to_openssh().map_err(io::Error::other)
    }

    /// How often it signed.
    pub fn signatures(&self) -> u32 {
        self.signatures.load(Ordering::SeqCst)
    }
}

impl Drop for FidoAgent {
    fn drop(&mut self) {
        let path = self.socket();
        // Wakes the listener, which then finds its socket gone.
        let stream = UnixStream::connect(&path);
        let _ = std::fs::remove_file(&path);
        drop(stream);
    }
}

#[derive(Clone)]
struct Device {
    key: KeyPair,
    name: &'static str,
    public: Vec<u8>,
    counter: Arc<AtomicU32>,
}

impl Device {
    fn serve(&self, mut stream: UnixStream) {
        while let Ok(request) = receive(&mut stream) {
            let answer = match request.split_first() {
                Some((&REQUEST_IDENTITIES, _)) => {
                    Packet::new(IDENTITIES_ANSWER).number(1).string(&self.public).string("token").0
                }
                Some((&SIGN_REQUEST, rest)) => {
                    self.sign(rest).unwrap_or_else(|_| Packet::new(FAILURE).0)
                }
                _ => Packet::new(FAILURE).0,
            };
            if stream.write_all(&Packet::default().string(answer).0).is_err() {
                return;
            }
        }
    }

    /// What a device signs: the application, that it was touched, a counter, and the message, all
    /// but the middle as hashes.
    fn sign(&self, mut request: &[u8]) -> io::Result<Vec<u8>> {
        let (public, message) = (take(&mut request)?, take(&mut request)?);
        if public != self.public {
            return Err(io::Error::other("another key"));
        }
        let counter = self.counter.fetch_add(1, Ordering::SeqCst) + 1;
        let application = Sha256::digest(APPLICATION);
        let signed =
            [&application[..], &[TOUCHED], &counter.to_be_bytes(), &Sha256::digest(message)[..]];
        let signature = match self.key.private_key().key_data() {
            pair @ (KeypairData::Ed25519(_) | KeypairData::Ecdsa(_)) => {
                pair.try_sign(&signed.concat())
            }
            _ => return Err(io::Error::other("devices have no such keys")),
        };
        let signature = signature.map_err(io::Error::other)?;
        let signature = Packet::default().string(self.name).string(signature.as_bytes());
        Ok(Packet::new(SIGN_RESPONSE).string(signature.byte(TOUCHED).number(counter).0).0)
    }
}

fn receive(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    let mut request = vec![0; length];
    stream.read_exact(&mut request)?;
    Ok(request)
}

fn take<'a>(rest: &mut &'a [u8]) -> io::Result<&'a [u8]> {
    let split = rest
        .split_first_chunk::<4>()
        .and_then(|(length, behind)| behind.split_at_checked(u32::from_be_bytes(*length) as usize));
    let (string, behind) = split.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    *rest = behind;
    Ok(string)
}
