//! Configurations made up from a seed: every keyword that we obey, in `Host` and `Match` blocks, in
//! files included from within and without them.

use std::fmt::Write as _;

/// Whom they are about.
pub(crate) const ALIASES: [&str; 6] = ["web1", "db.example", "u@web2", "GATE", "x", "192.0.2.7"];

const CONDITIONS: &[&str] = &[
    "Host web*",
    "Host web1 db.*",
    "Host * !web1",
    "Host ?",
    "Host !x *",
    "Host *.example GATE",
    "Host 192.0.2.?",
    "Match host web?.corp",
    "Match host *.corp,db*",
    "Match originalhost web1,x",
    "Match !originalhost web*",
    "Match user u",
    "Match !user deploy host *",
    "Match localuser root",
    "Match originalhost x user deploy",
    "Match final host *.corp",
    "Match all",
    "Match canonical",
];

/// Keywords with values, each of which means something else.
const SETTINGS: &[(&str, &[&str])] = &[
    ("HostName", &["%h.corp", "Real.Example.COM", "10.0.0.1", "a%%b", "2001:db8::1"]),
    ("Port", &["22", "2222", "1", "65535"]),
    ("User", &["deploy", "\"with blank\"", "u"]),
    (
        "IdentityFile",
        &["~/.ssh/k_%h", "%d/%u@%r", "none", "\"DIR/a key\"", "${HOME}/k%p", "DIR/%n"],
    ),
    ("IdentitiesOnly", &["yes", "no"]),
    ("IdentityAgent", &["none", "SSH_AUTH_SOCK", "/run/agent.sock"]),
    ("CertificateFile", &["~/c-%n", "DIR/cert-%%"]),
    ("UserKnownHostsFile", &["~/.ssh/known", "none", "DIR/a DIR/b", "/dev/null"]),
    ("GlobalKnownHostsFile", &["/etc/known", "none", "/a \"/b\""]),
    ("RevokedHostKeys", &["DIR/revoked", "none"]),
    ("KnownHostsCommand", &["/bin/echo %H", "none", "/bin/cat /etc/known %t %K"]),
    ("HashKnownHosts", &["yes", "no"]),
    ("UpdateHostKeys", &["yes", "no", "ask"]),
    ("VerifyHostKeyDNS", &["yes", "no"]),
    ("HostKeyAlgorithms", &["ssh-ed25519", "+ssh-rsa", "-ecdsa*", "^rsa-sha2-512,rsa-sha2-256"]),
    ("CASignatureAlgorithms", &["ssh-ed25519", "-rsa*", "+ssh-rsa", "^ecdsa-sha2-nistp384"]),
    ("RequiredRSASize", &["1024", "2048", "4096"]),
    (
        "Ciphers",
        &[
            "aes256-ctr",
            "aes128-gcm@openssh.com,chacha20-poly1305@openssh.com",
            "+aes256-cbc,3des-cbc",
            "-aes*-ctr",
            "^aes192-ctr",
        ],
    ),
    (
        "KexAlgorithms",
        &[
            "curve25519-sha256",
            "sntrup761x25519-sha512@openssh.com,ecdh-sha2-nistp384",
            "+diffie-hellman-group14-sha1",
            "-ecdh*,diffie*",
            "^ecdh-sha2-nistp521",
        ],
    ),
    (
        "MACs",
        &[
            "hmac-sha2-512",
            "hmac-sha1,hmac-sha2-256-etm@openssh.com",
            "umac-128-etm@openssh.com,hmac-sha2-512-etm@openssh.com",
            "+hmac-md5",
            "-*etm@openssh.com",
            "^hmac-sha2-256",
        ],
    ),
    (
        "PubkeyAcceptedAlgorithms",
        &[
            "ssh-ed25519,ssh-ed25519-cert*",
            "rsa-sha2-512",
            "+ssh-rsa",
            "-sk-*,*-cert-*",
            "^ssh-ed*",
        ],
    ),
    ("RekeyLimit", &["1G", "default 30m", "64M 3600", "default none", "16k 1w"]),
    ("PasswordAuthentication", &["yes", "no"]),
    ("PubkeyAuthentication", &["yes", "no"]),
    ("KbdInteractiveAuthentication", &["yes", "no"]),
    ("PreferredAuthentications", &["publickey", "keyboard-interactive,password"]),
    ("NumberOfPasswordPrompts", &["0", "1", "3"]),
    ("StrictHostKeyChecking", &["yes", "no", "ask", "accept-new", "off"]),
    ("HostKeyAlias", &["Shared", "x.example"]),
    ("ServerAliveInterval", &["0", "30", "1m30s"]),
    ("ServerAliveCountMax", &["1", "5"]),
    ("ConnectTimeout", &["none", "7", "1h"]),
    ("ProxyJump", &["none", "gate", "a@b:2200,[2001:db8::2]:22", "ssh://w@j:2222"]),
    ("ProxyCommand", &["none", "nc %h %p", "sh -c 'exec nc \"%h\" %p' # %%"]),
    // What changes nothing.
    ("ForwardAgent", &["yes"]),
    ("SendEnv", &["LANG LC_*"]),
];

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// The file `config`, and the file `DIR/inner` that it includes.
pub(crate) fn configuration(seed: u64) -> (String, String) {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // The first numbers of similar seeds are similar.
    for _ in 0..20 {
        dice.below(2);
    }
    let mut config = String::from("# made up\n");
    // Each seed is sure to have one of them at its top, so that all have their turn.
    let own = SETTINGS[seed as usize % SETTINGS.len()];
    let _ = writeln!(config, "Host web1 x\n {} {}", own.0, dice.one_of(own.1));
    let include = 1 + dice.below(3);
    for block in 0..5 {
        let _ = writeln!(config, "{}", dice.one_of(CONDITIONS));
        lines(&mut config, &mut dice);
        if block == include {
            let keyword = dice.one_of(&["Include", "include", "INCLUDE"]);
            let _ = writeln!(config, " {keyword} DIR/inner DIR/absent*");
        }
    }
    let mut inner = String::new();
    lines(&mut inner, &mut dice);
    let _ = writeln!(inner, "{}", dice.one_of(CONDITIONS));
    lines(&mut inner, &mut dice);
    (config, inner)
}

fn lines(text: &mut String, dice: &mut Dice) {
    for _ in 0..2 + dice.below(6) {
        let (keyword, values) = dice.one_of(SETTINGS);
        let between = dice.one_of(&[" ", "=", " = ", "\t"]);
        let keyword = match dice.below(4) {
            0 => keyword.to_ascii_lowercase(),
            1 => keyword.to_ascii_uppercase(),
            _ => keyword.to_owned(),
        };
        let _ = writeln!(text, "  {keyword}{between}{}", dice.one_of(values));
    }
}
