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
}

/// How much of what there is a policy takes, from the best on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Modern,
    Default,
    /// All that any library here has.
    Compatible,
}

/// What a policy has in one of its lists, best first.
pub(super) fn names(which: Algorithms, extent: Extent) -> Vec<&'static str> {
    let first = |all: &[&'static str], modern, default| match extent {
        Extent::Modern => all[..modern].to_vec(),
        Extent::Default => all[..default].to_vec(),
        Extent::Compatible => all.to_vec(),
    };
    match which {
        Algorithms::KeyExchange => first(&KEY_EXCHANGES, 5, 12),
        Algorithms::Ciphers => first(&CIPHERS, 3, 6),
        Algorithms::Macs => first(&MACS, 2, 4),
        Algorithms::HostKeys => {
            // Neither library can check what a security key signed.
            let mut names = OPENSSH_KEYS.to_vec();
            names.retain(|name| !name.starts_with("sk-"));
            names.extend((extent == Extent::Compatible).then_some("ssh-rsa"));
            names
        }
        // No certificate's signature is by SHA-1, whatever the policy: an authority can sign anew.
        Algorithms::CaSignatures => OPENSSH_SIGNATURES.to_vec(),
        Algorithms::UserKeys => OPENSSH_KEYS.to_vec(),
    }
}

/// All that any library here has.
pub(super) fn known(which: Algorithms) -> Vec<&'static str> {
    names(which, Extent::Compatible)
}

/// Whether any library here has it.
pub(super) fn is_known(which: Algorithms, name: &str) -> bool {
    known(which).contains(&name)
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

/// Neither library has sntrup761; libssh2 has ML-KEM only over OpenSSL 3.5 and later. The first 5
/// are modern, the first 12 the default.
const KEY_EXCHANGES: [&str; 15] = [
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
];

/// The first 3 are modern, the first 6 the default.
const CIPHERS: [&str; 10] = [
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
];

/// The first 2 are modern, the first 4 the default.
const MACS: [&str; 6] = [
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512",
    "hmac-sha2-256",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
];

/// OpenSSH's default of `HostKeyAlgorithms` and `PubkeyAcceptedAlgorithms`: certificates, then plain
/// keys, none with SHA-1.
pub(crate) const OPENSSH_KEYS: [&str; 16] = [
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

/// OpenSSH's default of `CASignatureAlgorithms`: the plain ones of [`OPENSSH_KEYS`].
pub(crate) const OPENSSH_SIGNATURES: &[&str] = OPENSSH_KEYS.split_at(8).1;
