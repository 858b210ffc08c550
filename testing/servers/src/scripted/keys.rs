//! Agreeing on keys: curve25519-sha256 (RFC 8731), in the way that a script asks for.

use std::io::{self, Read as _, Write as _};

use curve25519_dalek::montgomery::MontgomeryPoint;
use russh::keys::key::safe_rng;
use russh::keys::signature::Signer as _;
use sha2::{Digest as _, Sha256};
use ssh_key::private::KeypairData;
use ssh_key::rand_core::Rng as _;
use ssh_key::{HashAlg, PrivateKey};

use super::wire::{Packet, Wire, take};
use crate::keys::KeyPair;

const KEXINIT: u8 = 20;
const NEWKEYS: u8 = 21;
const ECDH_INIT: u8 = 30;
const ECDH_REPLY: u8 = 31;

/// How a server agrees on keys.
#[derive(Clone)]
pub struct Kex {
    /// What it calls itself.
    pub greeting: String,
    /// Its lists, in the order of RFC 4253, 7.1.
    pub lists: [String; 10],
    /// The key that it signs with.
    pub key: PrivateKey,
    /// The key that it shows, in wire format, where that is another one.
    pub shown: Option<Vec<u8>>,
    /// With which hash an RSA key signs; `None` is SHA-1.
    pub hash: Option<HashAlg>,
    /// The signature to send in place of its own, in wire format.
    pub signature: Option<Vec<u8>>,
}

/// A new ed25519 key, and the lists that go with it.
impl Default for Kex {
    fn default() -> Self {
        let key = KeyPair::ed25519().map(|pair| pair.private_key().clone());
        Self::with_key(key.unwrap_or_else(|error| panic!("no key: {error}")), "ssh-ed25519")
    }
}

impl Kex {
    /// With this key, offered by this algorithm's name.
    pub fn with_key(key: PrivateKey, algorithm: &str) -> Self {
        let (cipher, mac, none) = ("aes256-ctr", "hmac-sha2-256-etm@openssh.com", "none");
        let lists = ["curve25519-sha256", algorithm, cipher, cipher, mac, mac, none, none, "", ""];
        Self {
            greeting: "SSH-2.0-scripted".into(),
            lists: lists.map(str::to_owned),
            key,
            shown: None,
            hash: Some(HashAlg::Sha512),
            signature: None,
        }
    }

    /// Signs as it signs key exchanges, in wire format.
    ///
    /// # Errors
    ///
    /// None that are known.
    pub fn sign(&self, hash: &[u8]) -> io::Result<Vec<u8>> {
        if let Some(signature) = &self.signature {
            return Ok(signature.clone());
        }
        let signature = match self.key.key_data() {
            KeypairData::Rsa(pair) => (pair, self.hash).try_sign(hash),
            pair => pair.try_sign(hash),
        };
        let signature = signature.map_err(io::Error::other)?;
        let name = signature.algorithm().as_str().to_owned();
        Ok(Packet::default().string(name).string(signature.as_bytes()).0)
    }
}

impl Wire {
    /// Greets the client and agrees on keys with it.
    ///
    /// # Errors
    ///
    /// Where the client won't have it.
    pub fn shake_hands(&mut self, kex: &Kex) -> io::Result<()> {
        self.greet(&kex.greeting)?;
        self.agree(kex)
    }

    /// Says who it is, and hears who the client is.
    pub fn greet(&mut self, greeting: &str) -> io::Result<()> {
        self.stream.write_all(format!("{greeting}\r\n").as_bytes())?;
        let mut client = Vec::new();
        while !client.ends_with(b"\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            client.extend(byte);
        }
        let end = client.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        client.truncate(end.unwrap_or(client.len()));
        self.greetings = (client, greeting.as_bytes().to_vec());
        Ok(())
    }

    /// Sends its lists, and takes the client's. Its own as they went.
    pub fn exchange_lists(&mut self, kex: &Kex) -> io::Result<Vec<u8>> {
        let mut cookie = [0; 16];
        safe_rng().fill_bytes(&mut cookie);
        let mut own = Packet::new(KEXINIT);
        own.0.extend(cookie);
        let own = kex.lists.iter().fold(own, Packet::string).byte(0).number(0);
        self.send(&own)?;
        self.offer = self.receive_kind(KEXINIT)?;
        Ok(own.0)
    }

    /// Agrees on keys, for the first time or anew.
    pub fn agree(&mut self, kex: &Kex) -> io::Result<()> {
        let own = self.exchange_lists(kex)?;
        let init = self.receive_kind(ECDH_INIT)?;
        self.ephemeral = take(&mut init.get(1..).unwrap_or_default())?.to_vec();
        let theirs = <[u8; 32]>::try_from(&self.ephemeral[..]).map_err(io::Error::other)?;
        let mut secret = [0; 32];
        safe_rng().fill_bytes(&mut secret);
        let ephemeral = MontgomeryPoint::mul_base_clamped(secret).to_bytes();
        let shared = mpint(&MontgomeryPoint(theirs).mul_clamped(secret).to_bytes());
        let public = match &kex.shown {
            Some(shown) => shown.clone(),
            None => kex.key.public_key().to_bytes().map_err(io::Error::other)?,
        };
        let (client, server) = &self.greetings;
        let hashed = [client, server, &self.offer, &own, &public, &theirs.to_vec()];
        let hashed = hashed.iter().fold(Packet::default(), Packet::string);
        let hashed = hashed.string(ephemeral).string(&shared);
        let hash = Sha256::digest(&hashed.0).to_vec();
        let reply = Packet::new(ECDH_REPLY).string(&public).string(ephemeral);
        self.send(&reply.string(kex.sign(&hash)?))?;
        self.send(&Packet::new(NEWKEYS))?;
        let session = self.session.get_or_insert_with(|| hash.clone()).clone();
        let derive = |letter: u8| {
            let head = Packet::default().string(&shared).0;
            Sha256::digest([&head[..], &hash, &[letter], &session].concat())
        };
        self.outgoing.rekey(&derive(b'B'), &derive(b'D'), &derive(b'F'))?;
        self.receive_kind(NEWKEYS)?;
        self.incoming.rekey(&derive(b'A'), &derive(b'C'), &derive(b'E'))
    }
}

/// A positive number as SSH writes it (RFC 4251, 5), without its length.
fn mpint(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = &bytes[first..];
    let sign = digits.first().is_some_and(|byte| *byte >= 0x80);
    [if sign { &[0][..] } else { &[] }, digits].concat()
}

impl std::fmt::Debug for Kex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kex").field("lists", &self.lists).finish_non_exhaustive()
    }
}
