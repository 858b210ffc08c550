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
    /// By what our own keys may sign to log in: `PubkeyAcceptedAlgorithms`. A key of a type that
    /// is not among them is not sent. An order means nothing: the order of keys is that of `auth`.
    UserKeys,
}

impl Algorithms {
    /// All lists.
    pub const ALL: [Self; 6] = [
        Self::KeyExchange,
        Self::HostKeys,
        Self::Ciphers,
        Self::Macs,
        Self::CaSignatures,
        Self::UserKeys,
    ];

    /// The name of the setting, as errors have it.
    pub fn field(self) -> &'static str {
        match self {
            Self::KeyExchange => "kex_algorithms",
            Self::HostKeys => "host_key_algorithms",
            Self::Ciphers => "ciphers",
            Self::Macs => "macs",
            Self::CaSignatures => "ca_signature_algorithms",
            Self::UserKeys => "pubkey_accepted_algorithms",
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
            Self::UserKeys => "algorithm of a user's key",
        }
    }

    /// Whether lists may name several at once with `*` and `?`, as in `ssh_config(5)`.
    pub(super) fn takes_patterns(self) -> bool {
        matches!(self, Self::HostKeys | Self::CaSignatures | Self::UserKeys)
    }

    /// The place of the list in a policy.
    const fn index(self) -> usize {
        match self {
            Self::KeyExchange => 0,
            Self::HostKeys => 1,
            Self::Ciphers => 2,
            Self::Macs => 3,
            Self::CaSignatures => 4,
            Self::UserKeys => 5,
        }
    }
}

/// Whether any library here has it.
pub(super) fn is_known(which: Algorithms, name: &str) -> bool {
    known(which).contains(&name)
}

/// All that any library here has.
pub(super) fn known(which: Algorithms) -> &'static [&'static str] {
    COMPATIBLE[which.index()]
}

/// What `ssh` knows (OpenSSH up to 10.x) and no library here has. Where a configuration names them
/// beside others they are passed over, as if the server had not got them.
pub(super) fn only_openssh_has(which: Algorithms, name: &str) -> bool {
    let names: &[&str] = match which {
        Algorithms::KeyExchange => {
            &["sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com"]
        }
        Algorithms::Macs => &[
            "hmac-md5",
            "hmac-md5-96",
            "hmac-md5-96-etm@openssh.com",
            "hmac-md5-etm@openssh.com",
            "hmac-sha1-96",
            "hmac-sha1-96-etm@openssh.com",
            "umac-64@openssh.com",
            "umac-64-etm@openssh.com",
            "umac-128@openssh.com",
            "umac-128-etm@openssh.com",
        ],
        // Nobody here signs by SHA-1 or DSA to log in.
        Algorithms::UserKeys => &[
            "ssh-rsa",
            "ssh-rsa-cert-v01@openssh.com",
            "ssh-dss",
            "ssh-dss-cert-v01@openssh.com",
            "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
        ],
        _ => &[],
    };
    names.contains(&name)
}

/// Neither library has sntrup761; libssh2 has ML-KEM only over OpenSSL 3.5 and later.
pub(super) const DEFAULT: [&[&str]; 6] = [
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
    USER_KEYS,
];

pub(super) const MODERN: [&[&str]; 6] = [
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
    USER_KEYS,
];

pub(super) const COMPATIBLE: [&[&str]; 6] = [
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
    USER_KEYS,
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

/// OpenSSH's default.
const USER_KEYS: &[&str] = &[
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-256",
];
