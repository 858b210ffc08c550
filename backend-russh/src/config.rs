//! What russh is to agree on with a server, and a second look at what it agreed on.

use std::borrow::Cow;
use std::time::Duration;

use russh::Names;
use russh::client::Config;
use russh::keys::Algorithm;
use russh::{Limits, Preferred, SshId, cipher, kex, mac};
use ssh_session::{Algorithms, Crypto, Offer, RekeyLimit, is_aead};

/// Room for what came for a channel and was not taken in yet; commands take it in at once.
const CHANNEL_MESSAGES: usize = 100;

/// What the name of a certificate's algorithm ends with; before that is its key's.
const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// What is said beside key exchanges: that extensions are understood (RFC 8308), and that nothing
/// may be slipped into the exchange (OpenSSH's PROTOCOL, 1.10).
const EXTENSIONS: [kex::Name; 2] =
    [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

/// What russh has of a policy. `host_keys` are the algorithms to ask for, best first, as what is
/// known of the host decides.
pub(crate) fn offer(crypto: &Crypto, host_keys: &[String]) -> Offer {
    let lacking = [
        Crypto::lacking(Algorithms::KeyExchange, |name| kex::Name::try_from(name).is_ok()),
        Crypto::lacking(Algorithms::HostKeys, |name| host_key(name).is_some()),
        Crypto::lacking(Algorithms::Ciphers, |name| cipher::Name::try_from(name).is_ok()),
        Crypto::lacking(Algorithms::Macs, |name| mac::Name::try_from(name).is_ok()),
    ];
    Offer {
        lacking: lacking.concat(),
        kex: crypto.offered(Algorithms::KeyExchange, |name| kex::Name::try_from(name).is_ok()),
        host_keys: host_keys.iter().filter(|name| host_key(name).is_some()).cloned().collect(),
        ciphers: crypto.offered(Algorithms::Ciphers, |name| cipher::Name::try_from(name).is_ok()),
        macs: crypto.offered(Algorithms::Macs, |name| mac::Name::try_from(name).is_ok()),
    }
}

pub(crate) fn config(offer: &Offer, limit: RekeyLimit) -> Config {
    let (certificates, keys) = host_key_algorithms(offer);
    let exchanges = offer.kex.iter().filter_map(|name| kex::Name::try_from(name.as_str()).ok());
    let ciphers = offer.ciphers.iter().filter_map(|name| cipher::Name::try_from(&**name).ok());
    let preferred = Preferred {
        kex: exchanges.chain(EXTENSIONS).collect(),
        key: Cow::Owned(keys),
        host_key_certificates: Cow::Owned(certificates),
        cipher: ciphers.collect(),
        mac: offer.macs.iter().filter_map(|name| mac::Name::try_from(name.as_str()).ok()).collect(),
        ..Preferred::DEFAULT
    };
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-hussh_",
            env!("CARGO_PKG_VERSION")
        ))),
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred,
        limits: limits(limit),
        // Heartbeats are ours, see `heartbeat.rs`: russh's pause while it writes, and its
        // inactivity timer would end slow logins.
        inactivity_timeout: None::<Duration>,
        keepalive_interval: None,
        ..Config::default()
    }
}

/// When keys are agreed on anew. russh itself takes no more bytes than its default.
fn limits(limit: RekeyLimit) -> Limits {
    let usual = Limits::default();
    let bytes =
        limit.bytes.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    Limits {
        rekey_write_limit: usual.rekey_write_limit.min(bytes),
        rekey_read_limit: usual.rekey_read_limit.min(bytes),
        rekey_time_limit: limit.time.unwrap_or(usual.rekey_time_limit),
    }
}

/// Looks once more at what was agreed on, also when keys are agreed on anew.
pub(crate) fn check(crypto: &Crypto, offer: &Offer, names: &Names) -> Result<(), String> {
    crypto.check_agreed(Algorithms::KeyExchange, names.kex.as_ref())?;
    crypto.check_agreed(Algorithms::Ciphers, names.cipher.as_ref())?;
    if !is_aead(names.cipher.as_ref()) {
        crypto.check_agreed(Algorithms::Macs, names.client_mac.as_ref())?;
        crypto.check_agreed(Algorithms::Macs, names.server_mac.as_ref())?;
    }
    // Of a certificate russh tells its key's algorithm.
    let certified = names.key.to_certificate_type();
    let asked = |name: &str| offer.host_keys.iter().any(|asked| asked == name);
    if asked(&certified) || asked(names.key.as_str()) {
        return Ok(());
    }
    crypto.check_agreed(Algorithms::HostKeys, names.key.as_str())
}

/// Certificates and bare keys to ask for, each best first.
fn host_key_algorithms(offer: &Offer) -> (Vec<Algorithm>, Vec<Algorithm>) {
    let (certificates, keys): (Vec<_>, Vec<_>) =
        offer.host_keys.iter().partition(|name| name.ends_with(CERTIFICATE));
    let known = |names: Vec<&String>| names.into_iter().filter_map(|name| host_key(name)).collect();
    (known(certificates), known(keys))
}

/// An algorithm of a key, or of the key in a certificate, as far as russh knows it.
fn host_key(name: &str) -> Option<Algorithm> {
    let certified = name.strip_suffix(CERTIFICATE);
    let algorithm = Algorithm::new(certified.unwrap_or(name)).ok()?;
    // Old devices have bare keys with SHA-1; no authority signs such certificates any more.
    let is_old = certified.is_some() && algorithm == Algorithm::Rsa { hash: None };
    (Preferred::DEFAULT.key.contains(&algorithm) && !is_old).then_some(algorithm)
}

#[cfg(test)]
mod tests {
    use ssh_session::{Algorithms, Crypto, HostKeyAlgorithms};

    use super::{config, host_key_algorithms, offer};

    fn names(list: &str) -> (Vec<String>, Vec<String>) {
        let asked = HostKeyAlgorithms::parse(list).expect("a list");
        let (certificates, keys) = host_key_algorithms(&offer(&Crypto::default(), asked.names()));
        (
            certificates.iter().map(russh::keys::Algorithm::to_certificate_type).collect(),
            keys.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
        )
    }

    #[test]
    fn the_order_is_kept_and_sha1_is_asked_for_only_by_name_and_in_no_certificate() {
        let (certificates, keys) = names("^rsa-sha2-512,ssh-rsa,ssh-rsa-cert-v01@openssh.com");
        assert_eq!(keys[..3], ["rsa-sha2-512", "ssh-rsa", "ssh-ed25519"]);
        assert!(!names("^rsa-sha2-512").1.contains(&"ssh-rsa".to_owned()));
        assert_eq!(certificates[0], "ssh-ed25519-cert-v01@openssh.com");
        assert!(certificates.contains(&"rsa-sha2-512-cert-v01@openssh.com".to_owned()));
        assert!(!certificates.contains(&"ssh-rsa-cert-v01@openssh.com".to_owned()));
        assert!(keys.iter().all(|name| !name.contains("cert")));
        assert_eq!(names("ssh-ed25519"), (Vec::new(), vec!["ssh-ed25519".to_owned()]));
    }

    #[test]
    fn what_is_offered_is_what_the_policy_and_the_library_have_in_its_order() {
        let policy = Crypto::default().with(Algorithms::Ciphers, "^aes192-ctr").expect("a list");
        let offer = offer(&policy, policy.names(Algorithms::HostKeys));
        assert_eq!(offer.ciphers[0], "aes192-ctr");
        assert_eq!(offer.ciphers, policy.names(Algorithms::Ciphers), "russh has all of them");
        assert_eq!(offer.kex[0], "mlkem768x25519-sha256");
        let preferred = config(&offer, policy.rekey_limit()).preferred;
        let ciphers: Vec<&str> = preferred.cipher.iter().map(AsRef::as_ref).collect();
        assert_eq!(ciphers, offer.ciphers);
        let kex: Vec<&str> = preferred.kex.iter().map(AsRef::as_ref).collect();
        assert_eq!(kex[..offer.kex.len()], offer.kex);
        assert!(kex.contains(&"kex-strict-c-v00@openssh.com"));
    }
}
