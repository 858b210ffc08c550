//! What is offered to a server, and a second look at what was agreed on.

use ssh_session::{Algorithms, Crypto, Offer, is_aead};

use crate::ffi::{Error, Method, Session};

/// Tells libssh2 what to offer: what it has of the policy, and of the host key algorithms to ask
/// for, best first, as what is known of the host decides.
pub(crate) fn offer(
    session: &Session,
    crypto: &Crypto,
    host_keys: &[String],
) -> Result<Offer, Error> {
    let of = |which, method| {
        let supported = session.supported(method)?;
        Ok(crypto.offered(which, |name| supported.iter().any(|has| has == name)))
    };
    let lacking = |which, method| {
        let supported = session.supported(method)?;
        Ok::<_, Error>(Crypto::lacking(which, |name| supported.iter().any(|has| has == name)))
    };
    let lacking = [
        lacking(Algorithms::KeyExchange, Method::Kex)?,
        lacking(Algorithms::HostKeys, Method::HostKey)?,
        lacking(Algorithms::Ciphers, Method::CipherIn)?,
        lacking(Algorithms::Macs, Method::MacIn)?,
    ];
    let mut offer = Offer {
        lacking: lacking.concat(),
        kex: of(Algorithms::KeyExchange, Method::Kex)?,
        host_keys: supported(host_keys, &session.supported(Method::HostKey)?),
        ciphers: of(Algorithms::Ciphers, Method::CipherIn)?,
        macs: of(Algorithms::Macs, Method::MacIn)?,
    };
    if offer.ciphers.iter().all(|name| is_aead(name)) {
        // libssh2 wants one in common even where none is used.
        let usual = Crypto::default();
        offer.macs = usual.names(Algorithms::Macs).to_vec();
    }
    for (method, names) in [
        (Method::Kex, &offer.kex),
        (Method::HostKey, &offer.host_keys),
        (Method::CipherOut, &offer.ciphers),
        (Method::CipherIn, &offer.ciphers),
        (Method::MacOut, &offer.macs),
        (Method::MacIn, &offer.macs),
    ] {
        session.prefer(method, &names.join(","))?;
    }
    Ok(offer)
}

fn supported(names: &[String], library: &[String]) -> Vec<String> {
    names.iter().filter(|name| library.contains(name)).cloned().collect()
}

/// Whether somebody asks for MACs over what is not encrypted: by the policy for old devices, or by
/// a list that has no others (see `framing.rs`).
pub(crate) fn takes_hidden(crypto: &Crypto) -> bool {
    let macs = crypto.names(Algorithms::Macs);
    macs.iter().any(|name| name == "hmac-sha1") || !macs.iter().any(|name| name.contains("-etm@"))
}

/// Looks once more at what was agreed on, and asks for the same ciphers from now on: how packets
/// are framed must not change. An error says what is wrong.
pub(crate) fn check(session: &Session, crypto: &Crypto) -> Result<(), String> {
    let asked = |name: &str| {
        session.with_framing(|framing| framing.offer.host_keys.iter().any(|asked| asked == name))
    };
    for (which, method) in [
        (Algorithms::KeyExchange, Method::Kex),
        (Algorithms::HostKeys, Method::HostKey),
        (Algorithms::Ciphers, Method::CipherOut),
        (Algorithms::Ciphers, Method::CipherIn),
        (Algorithms::Macs, Method::MacOut),
        (Algorithms::Macs, Method::MacIn),
    ] {
        let cipher = match method {
            Method::MacOut => session.agreed(Method::CipherOut),
            Method::MacIn => session.agreed(Method::CipherIn),
            _ => None,
        };
        if cipher.is_some_and(|cipher| is_aead(&cipher)) {
            continue;
        }
        let Some(name) = session.agreed(method) else {
            return Err(format!("nothing was agreed on: {}", which.field()));
        };
        // A list of the host's own may have more than the policy.
        if which != Algorithms::HostKeys || !asked(&name) {
            crypto.check_agreed(which, &name)?;
        }
        if matches!(which, Algorithms::Ciphers | Algorithms::Macs) {
            session.prefer(method, &name).map_err(|error| error.message().to_owned())?;
        }
    }
    Ok(())
}
