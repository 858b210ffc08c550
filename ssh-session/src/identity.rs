//! Who is equal to whom.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::ExposeSecret as _;
use sha2::Sha256;

use crate::{
    Algorithms, Auth, CertificateSource, Crypto, HostKeyPolicy, HostKeys, KnownHostsCommand,
    Options, Route,
};

/// Whose session it is: sessions may be shared only where this is equal.
///
/// It covers host, port and user, every credential in its order, the way there with all its hops,
/// which host keys are believed, and what may be agreed on with the server. Not timeouts and heartbeats: they change nothing about who
/// is who. Two passwords for one user make two identities; so do two files with one key, which
/// costs a connection at worst. A key file stands for itself by its path: no file is read for this.
///
/// It is a keyed hash whose key is drawn anew in each process: it says nothing about a secret, and
/// is of no use outside the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity([u8; 32]);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "Identity({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

impl Options {
    /// Whose session this would open; see [`Identity`].
    pub fn identity(&self) -> Identity {
        let mut hash = Hash::new();
        hash.options(self);
        Identity(hash.0.finalize().into_bytes().into())
    }
}

struct Hash(Hmac<Sha256>);

impl Hash {
    fn new() -> Self {
        static KEY: OnceLock<[u8; 64]> = OnceLock::new();
        let key = KEY.get_or_init(|| {
            // The standard library's hash keys are drawn from the system's randomness, 128 bits.
            let random = RandomState::new();
            let mut key = [0; 64];
            for (index, part) in key.chunks_exact_mut(8).enumerate() {
                part.copy_from_slice(&random.hash_one(index).to_ne_bytes());
            }
            key
        });
        Self(Hmac::new(key.into()))
    }

    /// One field. Its length goes before it, so that no two series of fields look alike.
    fn field(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn number(&mut self, number: usize) {
        self.field((number as u64).to_le_bytes());
    }

    fn path(&mut self, path: &Path) {
        // The same name means another file in another folder.
        let absolute = std::path::absolute(path);
        self.field(absolute.as_deref().unwrap_or(path).as_os_str().as_bytes());
    }

    fn paths<'p>(&mut self, paths: impl ExactSizeIterator<Item = &'p Path>) {
        self.number(paths.len());
        paths.for_each(|path| self.path(path));
    }

    fn option(&mut self, value: Option<&[u8]>) {
        self.number(usize::from(value.is_some()));
        self.field(value.unwrap_or_default());
    }

    fn options(&mut self, options: &Options) {
        // Names of hosts are the same in capitals.
        self.field(options.target.host().to_ascii_lowercase());
        self.number(options.target.port().into());
        self.field(options.target.user());
        self.number(options.auth.len());
        options.auth.iter().for_each(|auth| self.auth(auth));
        self.number(options.key_rules.required_rsa_size as usize);
        self.number(usize::from(options.key_rules.strict_modes));
        self.field(format!("{:?}", options.methods));
        self.host_keys(&options.host_keys);
        self.crypto(&options.crypto);
        match &options.route {
            Route::Direct => self.field("direct"),
            Route::Jump(hops) => {
                self.field("jump");
                self.number(hops.len());
                hops.iter().for_each(|hop| self.options(hop));
            }
            Route::Command(command) => {
                self.field("command");
                self.field(command.template());
                self.option(command.original_name().map(str::as_bytes));
            }
            Route::Transport(transport) => {
                self.field("transport");
                self.field(transport.number().to_le_bytes());
            }
        }
    }

    fn auth(&mut self, auth: &Auth) {
        match auth {
            Auth::Password(password) => {
                self.field("password");
                self.field(password.expose_secret());
            }
            Auth::AskPassword(ask) => {
                self.field("ask password");
                self.field(ask.number().to_le_bytes());
            }
            Auth::KeyboardInteractive(answers) => {
                self.field("keyboard-interactive");
                self.field(answers.number().to_le_bytes());
            }
            Auth::KeyFile { path, passphrase } => {
                self.field("key file");
                self.path(path);
                self.option(passphrase.as_ref().map(|secret| secret.expose_secret().as_bytes()));
            }
            Auth::KeyFileOrPassword { path, secret } => {
                self.field("key file or password");
                self.path(path);
                self.field(secret.expose_secret());
            }
            Auth::KeyData { key, passphrase } => {
                self.field("key data");
                self.field(key.expose_secret());
                self.option(passphrase.as_ref().map(|secret| secret.expose_secret().as_bytes()));
            }
            Auth::Certificate { key, certificate } => {
                self.field("certificate");
                self.auth(key);
                match certificate {
                    CertificateSource::File(path) => {
                        self.field("file");
                        self.path(path);
                    }
                    CertificateSource::Text(text) => {
                        self.field("text");
                        self.field(text);
                    }
                }
            }
            Auth::Agent => {
                self.field("agent");
                self.agent_of_environment();
            }
            Auth::AgentWith { socket, only } => {
                self.field("agent with");
                match socket {
                    Some(socket) => self.path(socket),
                    None => self.agent_of_environment(),
                }
                self.paths(only.iter().map(AsRef::as_ref));
            }
            Auth::Auto => {
                self.field("auto");
                self.agent_of_environment();
                self.paths(Auth::default_key_files().iter().map(AsRef::as_ref));
            }
        }
    }

    fn agent_of_environment(&mut self) {
        let socket = std::env::var_os("SSH_AUTH_SOCK");
        self.option(socket.as_deref().map(std::ffi::OsStr::as_bytes));
    }

    fn crypto(&mut self, crypto: &Crypto) {
        for which in Algorithms::ALL {
            self.field(crypto.names(which).join(","));
        }
        self.field(crypto.min_rsa_bits().to_le_bytes());
        self.field(format!("{:?}", crypto.rekey_limit()));
    }

    fn host_keys(&mut self, host_keys: &HostKeys) {
        let HostKeys { policy, files, alias, algorithms, ca_algorithms, revoked, .. } = host_keys;
        match policy {
            HostKeyPolicy::AcceptNew => self.field("accept-new"),
            HostKeyPolicy::Strict => self.field("strict"),
            HostKeyPolicy::Pinned(pins) => {
                self.field("pinned");
                self.number(pins.len());
                pins.iter().for_each(|pin| self.field(pin.to_string()));
            }
            HostKeyPolicy::DangerAcceptAny => self.field("any"),
        }
        for names in [algorithms.names(), ca_algorithms.names()] {
            self.number(names.len());
            names.iter().for_each(|name| self.field(name));
        }
        self.paths(revoked.iter().map(AsRef::as_ref));
        let words = host_keys.command.iter().flat_map(KnownHostsCommand::arguments);
        self.number(words.clone().count());
        words.for_each(|word| self.field(word));
        self.number(usize::from(host_keys.must_record));
        self.number(host_keys.update.map_or(2, usize::from));
        self.paths(files.user_files().iter().map(AsRef::as_ref));
        self.paths(files.system_files().iter().map(AsRef::as_ref));
        self.option(alias.as_deref().map(str::as_bytes));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::Identity;
    use crate::{
        Auth, Crypto, Fingerprint, HostKeyPolicy, HostKeys, KeepaliveOptions, Options,
        ProxyCommand, Route, Target,
    };

    fn options(auth: Auth) -> Options {
        Options::new(Target::new("h", 22, "u").expect("a target")).auth(auth)
    }

    fn password(text: &str) -> Options {
        options(Auth::password(text))
    }

    fn pin(letter: char) -> HostKeyPolicy {
        let text = format!("SHA256:{}", letter.to_string().repeat(42) + "A");
        HostKeyPolicy::pinned([text.parse::<Fingerprint>().expect("a fingerprint")])
    }

    #[test]
    fn whatever_makes_a_session_anothers_makes_another_identity() {
        let target = |host, port, user| {
            Options::new(Target::new(host, port, user).expect("a target")).auth(Auth::password("p"))
        };
        let keys = |host_keys| password("p").host_keys(host_keys);
        let through = |hops: Vec<Options>| {
            let mut options = password("p");
            options.route = Route::Jump(hops);
            options
        };
        let command = |template: &str| {
            let mut options = password("p");
            options.route = Route::Command(ProxyCommand::parse(template).expect("a template"));
            options
        };
        let all = [
            password("p"),
            password("q"),
            password(""),
            target("i", 22, "u"),
            target("h", 23, "u"),
            target("h", 22, "v"),
            password("p").auth(Auth::password("q")),
            password("q").auth(Auth::password("p")),
            options(Auth::key_file("/k")),
            options(Auth::key_file("/l")),
            options(Auth::encrypted_key_file("/k", "p")),
            options(Auth::encrypted_key_file("/k", "")),
            options(Auth::key_file_or_password("/k", "p")),
            options(Auth::key_file_or_password("/k", "q")),
            options(Auth::key_data("/k")),
            options(Auth::key_data("p")),
            options(Auth::key_file("/k").with_certificate("/c")),
            options(Auth::key_file("/k").with_certificate("/d")),
            options(Auth::Agent),
            options(Auth::Auto),
            options(Auth::AgentWith { socket: None, only: Vec::new() }),
            options(Auth::AgentWith { socket: Some("/a".into()), only: Vec::new() }),
            options(Auth::AgentWith { socket: Some("/a".into()), only: vec!["/k".into()] }),
            options(Auth::ask_password(|_| None)),
            options(Auth::ask_password(|_| None)),
            options(Auth::keyboard_interactive(|_| None)),
            options(Auth::keyboard_interactive(|_| None)),
            keys(HostKeys::new(HostKeyPolicy::Strict)),
            keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny)),
            keys(HostKeys::new(pin('a'))),
            keys(HostKeys::new(pin('b'))),
            keys(HostKeys::default().files(["/x"])),
            keys(HostKeys::default().files(["/x", "/y"])),
            keys(HostKeys::default().alias("other")),
            password("p").crypto(Crypto::modern()),
            password("p").crypto(Crypto::compatible()),
            through(vec![password("p")]),
            through(vec![password("q")]),
            through(vec![password("p"), password("q")]),
            through(vec![password("q"), password("p")]),
            command("nc %h %p"),
            command("ncat %h %p"),
        ];
        let identities: HashSet<Identity> = all.iter().map(Options::identity).collect();
        assert_eq!(identities.len(), all.len());
        for options in &all {
            assert_eq!(options.identity(), options.clone().identity(), "{options:?}");
        }
    }

    #[test]
    fn what_changes_nothing_about_who_is_who_changes_no_identity() {
        let mut other = password("p");
        let second = std::time::Duration::from_secs(1);
        other.connect_timeout = second;
        other.keepalive = KeepaliveOptions { interval: Some(second), count_max: 1 };
        assert_eq!(password("p").identity(), other.identity());
        let capitals = Options::new(Target::new("H", 22, "u").expect("a target"));
        assert_eq!(capitals.auth(Auth::password("p")).identity(), other.identity());
    }

    #[test]
    fn debug_shows_no_secret() {
        let text = format!("{:?}", password("geheim").identity());
        assert!(text.starts_with("Identity(") && text.len() < 25, "{text}");
    }
}
