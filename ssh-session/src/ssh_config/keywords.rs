//! The keywords of `ssh` that are not obeyed: those that change nothing here, and those that a
//! session is refused for.
//!
//! Together with those of [`Setting`](super::setting::Setting) these are all that OpenSSH knows up
//! to 10.x, with those of its vendors and of its past. In small letters.

/// Keywords that ask for what this library never does, so that skipping them neither weakens nor
/// changes what it does.
pub(super) const IGNORED: &[&[&str]] = &[
    // Nothing is forwarded, whichever way.
    &[
        "clearallforwardings",
        "dynamicforward",
        "exitonforwardfailure",
        "forwardagent",
        "forwardx11",
        "forwardx11timeout",
        "forwardx11trusted",
        "gatewayports",
        "localforward",
        "permitremoteopen",
        "remoteforward",
        "streamlocalbindmask",
        "streamlocalbindunlink",
        "tunnel",
        "tunneldevice",
        "xauthlocation",
    ],
    // What is run, and with which environment and terminal, is said by whoever runs it.
    &[
        "channeltimeout",
        "enableescapecommandline",
        "escapechar",
        "forkafterauthentication",
        "localcommand",
        "obscurekeystroketiming",
        "permitlocalcommand",
        "remotecommand",
        "requesttty",
        "sendenv",
        "sessiontype",
        "setenv",
        "stdinnull",
    ],
    // Ways to log in that are not there, keys in devices, and what becomes of keys afterwards.
    &[
        "addkeystoagent",
        "afstokenpassing",
        "enablesshkeysign",
        "gssapiauthentication",
        "gssapiclientidentity",
        "gssapidelegatecredentials",
        "gssapikexalgorithms",
        "gssapikeyexchange",
        "gssapirenewalforcesrekey",
        "gssapiserveridentity",
        "gssapitrustdns",
        "hostbasedacceptedalgorithms",
        "hostbasedauthentication",
        "hostbasedkeytypes",
        "kbdinteractivedevices",
        "kerberosauthentication",
        "kerberostgtpassing",
        "pkcs11provider",
        "rhostsauthentication",
        "rhostsrsaauthentication",
        "rsaauthentication",
        "securitykeyprovider",
        "smartcarddevice",
        "usekeychain",
    ],
    // It would have `ssh` believe more than it knows.
    &["nohostauthenticationforlocalhost"],
    // A pool has its own connections, opens them as often as it needs them, and asks nobody.
    &[
        "batchmode",
        "compression",
        "compressionlevel",
        "connectionattempts",
        "controlmaster",
        "controlpath",
        "controlpersist",
        "ipqos",
        "keepalive",
        "tcpkeepalive",
        "versionaddendum",
    ],
    // They matter to `CanonicalizeHostname` only, which is refused.
    &[
        "canonicaldomains",
        "canonicalizefallbacklocal",
        "canonicalizemaxdots",
        "canonicalizepermittedcnames",
    ],
    // What is shown and logged.
    &[
        "fingerprinthash",
        "loglevel",
        "logverbose",
        "syslogfacility",
        "visualhostkey",
        "warnweakcrypto",
    ],
    // `ssh` itself skips them.
    &[
        "cipher",
        "fallbacktorsh",
        "globalknownhostsfile2",
        "protocol",
        "useprivilegedport",
        "userknownhostsfile2",
        "useroaming",
        "usersh",
    ],
];

/// A keyword that would change whom a session talks to, or how safely, and is not obeyed.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) keyword: &'static str,
    /// As the manual writes it.
    pub(super) name: &'static str,
    /// Whether a value asks for no more than what is done anyway.
    harmless: fn(&[&str]) -> bool,
}

/// All of these. A session cannot be opened where one of them says something else than its default.
pub(super) const REFUSED: &[Refused] = &[
    refused("addressfamily", "AddressFamily", |values| matches!(values, ["any"])),
    refused("bindaddress", "BindAddress", never),
    refused("bindinterface", "BindInterface", never),
    refused("canonicalizehostname", "CanonicalizeHostname", is_no),
    refused("checkhostip", "CheckHostIP", is_no),
    refused("proxyusefdpass", "ProxyUseFdpass", is_no),
];

const fn refused(
    keyword: &'static str,
    name: &'static str,
    harmless: fn(&[&str]) -> bool,
) -> Refused {
    Refused { keyword, name, harmless }
}

fn never(_: &[&str]) -> bool {
    false
}

fn is_no(values: &[&str]) -> bool {
    matches!(values, ["no" | "false" | "none"])
}

impl Refused {
    pub(super) fn find(keyword: &str) -> Option<&'static Self> {
        REFUSED.iter().find(|refused| refused.keyword == keyword)
    }

    pub(super) fn is_harmless(&self, arguments: &[String]) -> bool {
        let lower: Vec<String> = arguments.iter().map(|word| word.to_ascii_lowercase()).collect();
        (self.harmless)(&lower.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Whether a keyword changes nothing here.
pub(super) fn is_ignored(keyword: &str) -> bool {
    IGNORED.iter().any(|group| group.contains(&keyword))
}
