//! Talking to an SSH agent (draft-ietf-sshm-ssh-agent). libssh2 has a client of its own, which waits
//! without a limit and lets RSA certificates be signed for with SHA-1.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags};
use socket2::{Domain, SockAddr, Socket, Type};
use ssh_key::{Certificate, PrivateKey, PublicKey};
use ssh_session::{Algorithms, Crypto, Proof};

use crate::deadline::Deadline;
use crate::socket::{SEND_FLAGS, poll_until};

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

const EXTENSION: u8 = 27;
const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// The longest message, as OpenSSH has it.
const MESSAGE_MAX: usize = 256 * 1024;

/// What the names of algorithms that sign by a certificate end in.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// A connection to an agent, used up to a deadline. Errors are sentences.
pub(crate) struct Agent {
    stream: UnixStream,
    deadline: Deadline,
    /// What the server signed the key exchange with, until the agent was told of it.
    proof: Option<Proof>,
}

/// A key that an agent holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The public key, or the certificate, in wire format.
    pub(crate) public: Vec<u8>,
    /// The user's name for it, as it came.
    pub(crate) comment: Vec<u8>,
}

impl Agent {
    /// Connects to the agent at this socket, or at `SSH_AUTH_SOCK`, for a server that proved to be
    /// who it is by this.
    pub(crate) fn connect(
        socket: Option<&Path>,
        deadline: Deadline,
        proof: Option<Proof>,
    ) -> Result<Self, String> {
        let path = match socket {
            Some(path) => path.to_owned(),
            None => std::env::var_os("SSH_AUTH_SOCK")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
                .ok_or("SSH_AUTH_SOCK is not set; is an agent running?")?,
        };
        // Of a busy agent, too, it is known at once.
        let connected = SockAddr::unix(&path).and_then(|address| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.connect(&address).map(|()| socket)
        });
        match connected {
            Ok(socket) => Ok(Self { stream: socket.into(), deadline, proof }),
            Err(error) => Err(format!("no agent answers at {}: {error}", path.display())),
        }
    }

    /// Its keys in its order, or those of these files in theirs, as far as it holds them.
    pub(crate) fn identities(&mut self, only: &[PathBuf]) -> Result<Vec<Identity>, String> {
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        let found = identities(&answer).ok_or("its list of keys is malformed")?;
        if only.is_empty() {
            return Ok(found);
        }
        let wanted: Vec<_> = only.iter().filter_map(|file| public_key(file)).collect();
        let place =
            |identity: &Identity| wanted.iter().position(|wanted| is_of(&identity.public, wanted));
        let mut chosen: Vec<_> =
            found.into_iter().filter_map(|found| place(&found).map(|at| (at, found))).collect();
        chosen.sort_by_key(|(place, _)| *place);
        Ok(chosen.into_iter().map(|(_, identity)| identity).collect())
    }

    /// Signs what libssh2 wants to be signed for a public key, as libssh2 wants it, if the policy
    /// allows the algorithm that it wants.
    pub(crate) fn sign(
        &mut self,
        public: &[u8],
        data: &[u8],
        crypto: &Crypto,
    ) -> Result<Vec<u8>, String> {
        let algorithm = algorithm(data).ok_or("there is nothing to sign")?;
        if !crypto.has(Algorithms::UserKeys, &algorithm) {
            let field = Algorithms::UserKeys.field();
            return Err(format!("it would sign by {algorithm}, which is not in {field}"));
        }
        self.bind(data)?;
        let flags = match algorithm.strip_suffix(CERTIFICATE).unwrap_or(&algorithm) {
            "rsa-sha2-256" => RSA_SHA2_256,
            "rsa-sha2-512" => RSA_SHA2_512,
            _ => 0,
        };
        let mut request = vec![SIGN_REQUEST];
        put(&mut request, public);
        put(&mut request, data);
        request.extend(flags.to_be_bytes());
        let answer = self.ask(&request)?;
        signature(&answer, &algorithm)
    }

    /// Whether it was told of the server, and so may name fewer keys than before.
    pub(crate) fn is_bound(&self) -> bool {
        self.proof.is_none()
    }

    /// Tells it which server this is about (`session-bind@openssh.com`, PROTOCOL.agent of OpenSSH),
    /// so that it signs by keys that are meant for others (`ssh-add -h`) for no one else. libssh2
    /// tells the session's identifier only with what is to be signed, which begins with it.
    fn bind(&mut self, mut data: &[u8]) -> Result<(), String> {
        let (Some(proof), Some(session)) = (self.proof.take(), take(&mut data)) else {
            return Ok(());
        };
        let mut request = vec![EXTENSION];
        for string in [SESSION_BIND, &proof.key, session, &proof.signature] {
            put(&mut request, string);
        }
        // It is not forwarded to the server.
        request.push(0);
        // One that knows no such thing is asked all the same.
        self.ask(&request).map(drop)
    }

    fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, String> {
        let mut message = Vec::new();
        put(&mut message, request);
        let mut left = &message[..];
        while !left.is_empty() {
            let sent = self.patiently(PollFlags::OUT, |stream| {
                Ok(rustix::net::send(stream, left, SEND_FLAGS)?)
            })?;
            left = left.get(sent..).unwrap_or_default();
        }
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MESSAGE_MAX {
            return Err("its answer is too long".into());
        }
        let mut answer = vec![0; length];
        self.fill(&mut answer)?;
        Ok(answer)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.patiently(PollFlags::IN, |mut stream| stream.read(rest))? {
                0 => return Err("it hung up".into()),
                count => filled += count,
            }
        }
        Ok(())
    }

    /// Repeats until it no longer would block.
    fn patiently<T>(
        &self,
        wanted: PollFlags,
        mut attempt: impl FnMut(&UnixStream) -> io::Result<T>,
    ) -> Result<T, String> {
        loop {
            match attempt(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.deadline.is_over() {
                        return Err("it did not answer in time".into());
                    }
                    let mut watched = [PollFd::new(&self.stream, wanted)];
                    let _ = poll_until(&mut watched, self.deadline.at());
                }
                done => return done.map_err(|error| format!("the talk to it failed: {error}")),
            }
        }
    }
}

fn identities(answer: &[u8]) -> Option<Vec<Identity>> {
    let mut rest = answer.strip_prefix(&[IDENTITIES_ANSWER])?;
    let count = take_number(&mut rest)?;
    let mut identities = Vec::new();
    for _ in 0..count {
        let public = take(&mut rest)?.to_vec();
        let comment = take(&mut rest)?.to_vec();
        identities.push(Identity { public, comment });
    }
    Some(identities)
}

/// The signature in an answer, if it is by the algorithm that the server was told of.
fn signature(answer: &[u8], algorithm: &str) -> Result<Vec<u8>, String> {
    let mut rest = answer.strip_prefix(&[SIGN_RESPONSE]).ok_or("it refused to sign")?;
    let malformed = "its signature is malformed";
    let mut signature = take(&mut rest).ok_or(malformed)?;
    let by = take(&mut signature).ok_or(malformed)?;
    if by != plain(algorithm).as_bytes() {
        return Err(format!("it cannot sign by {algorithm}"));
    }
    // Behind that of a key in a device there is more, which belongs to it.
    if algorithm.starts_with("sk-") {
        return Ok(signature.to_vec());
    }
    take(&mut signature).map(<[u8]>::to_vec).ok_or_else(|| malformed.into())
}

/// The algorithm that a signature by a certificate's key is by.
fn plain(algorithm: &str) -> String {
    match algorithm.strip_suffix(CERTIFICATE) {
        Some(key) if key.starts_with("sk-") => format!("{key}@openssh.com"),
        Some(key) => key.to_owned(),
        None => algorithm.to_owned(),
    }
}

/// Whether this is a certificate, in wire format.
pub(crate) fn is_certificate(mut public: &[u8]) -> bool {
    take(&mut public).is_some_and(|kind| kind.ends_with(CERTIFICATE.as_bytes()))
}

/// The algorithm named in what is to be signed (RFC 4252, section 7).
fn algorithm(data: &[u8]) -> Option<String> {
    let mut rest = data;
    take(&mut rest)?;
    rest = rest.get(1..)?;
    for _user_service_method in 0..3 {
        take(&mut rest)?;
    }
    rest = rest.get(1..)?;
    String::from_utf8(take(&mut rest)?.to_vec()).ok()
}

/// The public key, or certificate, in a file or in one of the same name with `.pub` behind it. A
/// private key in OpenSSH's format has its public half unencrypted.
fn public_key(file: &Path) -> Option<Vec<u8>> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    [file, Path::new(&beside)].into_iter().find_map(|file| {
        let text = ssh_session::small_text(file).ok()?;
        let text = text.trim();
        let certificate = || Certificate::from_openssh(text)?.to_bytes();
        let half = || PrivateKey::from_openssh(text)?.public_key().to_bytes();
        let key = PublicKey::from_openssh(text).and_then(|key| key.to_bytes());
        key.or_else(|_| certificate()).or_else(|_| half()).ok()
    })
}

/// Whether an identity is this one, or a certificate for this key.
fn is_of(identity: &[u8], wanted: &[u8]) -> bool {
    let certified = || {
        if ssh_session::exceeds_depth(identity) {
            return None;
        }
        let certificate = Certificate::from_bytes(identity).ok()?;
        PublicKey::from(certificate.public_key().clone()).to_bytes().ok()
    };
    identity == wanted || certified().is_some_and(|key| key == wanted)
}

/// Takes a string in SSH's format (RFC 4251, section 5) off the front.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_number(rest)? as usize;
    let (string, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(string)
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let (number, behind) = rest.split_first_chunk::<4>()?;
    *rest = behind;
    Some(u32::from_be_bytes(*number))
}

fn put(message: &mut Vec<u8>, string: &[u8]) {
    // Whatever we send is far below 4 GB.
    message.extend((string.len() as u32).to_be_bytes());
    message.extend(string);
}

#[cfg(test)]
mod tests {
    use super::{SIGN_RESPONSE, algorithm, identities, plain, put, signature};

    fn strings(first: &[u8], strings: &[&[u8]]) -> Vec<u8> {
        let mut message = first.to_vec();
        for string in strings {
            put(&mut message, string);
        }
        message
    }

    #[test]
    fn what_an_agent_says_is_never_trusted() {
        for answer in [&b""[..], b"\x05", b"\x0c", b"\x0c\0\0\0\x01", b"\x0c\xff\xff\xff\xff\0\0"] {
            assert_eq!(identities(answer), None, "{answer:?}");
        }
        for answer in [&b""[..], b"\x05", b"\x0e\0\0", b"\x0e\0\0\0\x04\0\0\0\x09"] {
            assert!(signature(answer, "ssh-ed25519").is_err(), "{answer:?}");
        }
        let by_sha1 = strings(&[], &[b"ssh-rsa", b"s"]);
        let answer = strings(&[SIGN_RESPONSE], &[&by_sha1]);
        assert!(signature(&answer, "rsa-sha2-512").is_err());
        assert_eq!(signature(&answer, "ssh-rsa").as_deref(), Ok(&b"s"[..]));
    }

    #[test]
    fn the_algorithm_is_that_of_the_request() {
        let mut data = strings(&[], &[b"session"]);
        data = strings(&[data, vec![50]].concat(), &[b"u", b"ssh-connection", b"publickey"]);
        data = strings(&[data, vec![1]].concat(), &[b"rsa-sha2-512", b"key"]);
        assert_eq!(algorithm(&data).as_deref(), Some("rsa-sha2-512"));
        assert_eq!(algorithm(&data[..20]), None);
        assert_eq!(plain("rsa-sha2-512-cert-v01@openssh.com"), "rsa-sha2-512");
        assert_eq!(plain("sk-ssh-ed25519-cert-v01@openssh.com"), "sk-ssh-ed25519@openssh.com");
        assert_eq!(plain("sk-ssh-ed25519@openssh.com"), "sk-ssh-ed25519@openssh.com");
    }
}
