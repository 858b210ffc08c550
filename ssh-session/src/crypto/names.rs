//! The names there are, and which of them each policy has.

/// A list of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithms {
    /// How keys are agreed on: `KexAlgorithms` of `ssh_config(5)`.
    KeyExchange,
    /// By what a server may prove who it is: `HostKeyAlgorithms`. Which of them are asked for
    /// first is decided by what is known of the host.
    HostKeys,
    /// `Ciphers`.
    Ciphers,
    /// `MACs`: for ciphers that don't authenticate by themselves.
    Macs,
    /// By what an authority may have signed certificates: `CASignatureAlgorithms`.
    CaSignatures,
}

impl Algorithms {
    /// The name of the setting, as errors have it.
    pub fn field(self) -> &'static str {
        match self {
            Self::KeyExchange => "kex_algorithms",
            Self::HostKeys => "host_key_algorithms",
            Self::Ciphers => "ciphers",
            Self::Macs => "macs",
            Self::CaSignatures => "ca_signature_algorithms",
        }
    }

    /// One of them, in words.
    pub(super) fn one(self) -> &'static str {
        match self {
            Self::KeyExchange => "key exchange",
            Self::HostKeys => "host key algorithm",
            Self::Ciphers => "cipher",
            Self::Macs => "MAC",
            Self::CaSignatures => "CA signature algorithm",
        }
    }
}

/// Whether any library here has it.
pub(super) fn is_known(which: Algorithms, name: &str) -> bool {
    let index = match which {
        Algorithms::KeyExchange => 0,
        Algorithms::HostKeys => 1,
        Algorithms::Ciphers => 2,
        Algorithms::Macs => 3,
        Algorithms::CaSignatures => 4,
    };
    COMPATIBLE[index].contains(&name)
}

/// Neither library has sntrup761; libssh2 has ML-KEM only over OpenSSL 3.5 and later.
pub(super) const DEFAULT: [&[&str]; 5] = [
    &[
        "mlkem768x25519-sha256",
        "mlkem768nistp256-sha256",
        "mlkem1024nistp384-sha384",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group14-sha256",
    ],
    HOST_KEYS,
    &[
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
    ],
    &[
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512",
        "hmac-sha2-256",
    ],
    SIGNATURES,
];

pub(super) const MODERN: [&[&str]; 5] = [
    &[
        "mlkem768x25519-sha256",
        "mlkem768nistp256-sha256",
        "mlkem1024nistp384-sha384",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
    ],
    HOST_KEYS,
    &["aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com"],
    &["hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com"],
    SIGNATURES,
];

pub(super) const COMPATIBLE: [&[&str]; 5] = [
    &[
        "mlkem768x25519-sha256",
        "mlkem768nistp256-sha256",
        "mlkem1024nistp384-sha384",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group14-sha256",
        "diffie-hellman-group-exchange-sha1",
        "diffie-hellman-group14-sha1",
        "diffie-hellman-group1-sha1",
    ],
    &[
        "ssh-ed25519-cert-v01@openssh.com",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        "rsa-sha2-512-cert-v01@openssh.com",
        "rsa-sha2-256-cert-v01@openssh.com",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ssh-rsa",
    ],
    &[
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes256-ctr",
        "aes192-ctr",
        "aes128-ctr",
        "aes256-cbc",
        "aes192-cbc",
        "aes128-cbc",
        "3des-cbc",
    ],
    &[
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512",
        "hmac-sha2-256",
        "hmac-sha1-etm@openssh.com",
        "hmac-sha1",
    ],
    SIGNATURES,
];

const HOST_KEYS: &[&str] = &[
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// No certificate's signature is by SHA-1, whatever the policy: an authority can sign anew.
const SIGNATURES: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];
