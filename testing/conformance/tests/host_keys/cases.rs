//! The table: what is known, what is shown, and what becomes of it.

use crate::fixture::Shows;

/// One row. `{a}` and its like in the files are keys; see `fixture.rs`.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) shows: Shows,
    pub(crate) host: &'static str,
    pub(crate) port: u16,
    pub(crate) alias: Option<&'static str>,
    /// The user's known_hosts files.
    pub(crate) files: &'static [&'static str],
    pub(crate) hashed: bool,
    /// With `accept-new`, then with `yes`.
    pub(crate) verdicts: [&'static str; 2],
    /// Where OpenSSH says something else: what, of one version or another, and why we don't.
    pub(crate) difference: Option<(&'static [[&'static str; 2]], &'static str)>,
}

const TRUSTED: [&str; 2] = ["trusted", "trusted"];
const REFUSED: [&str; 2] = ["refused", "refused"];
const NEW: [&str; 2] = ["new", "refused"];

/// A server with key `a` that is called `h.example`, on port 22.
const fn row(
    what: &'static str,
    files: &'static [&'static str],
    verdicts: [&'static str; 2],
) -> Row {
    Row {
        what,
        shows: Shows { keys: &["a"], certificate: None },
        host: "h.example",
        port: 22,
        alias: None,
        files,
        hashed: false,
        verdicts,
        difference: None,
    }
}

impl Row {
    const fn at(mut self, host: &'static str, port: u16) -> Self {
        self.host = host;
        self.port = port;
        self
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn hashed(mut self) -> Self {
        self.hashed = true;
        self
    }

    const fn shows(mut self, keys: &'static [&'static str]) -> Self {
        self.shows.keys = keys;
        self
    }

    const fn certified(mut self, certificate: &'static str) -> Self {
        self.shows.certificate = Some(certificate);
        self
    }

    const fn but_openssh(
        mut self,
        verdicts: &'static [[&'static str; 2]],
        why: &'static str,
    ) -> Self {
        self.difference = Some((verdicts, why));
        self
    }
}

const OLDER: &str = "OpenSSH took it for all hosts up to 9.x, newer refuses it";
const YOUNGER: &str = "OpenSSH takes patterns as names up to 9.x, newer matches them";
const AUTHORITY: &str = "a host that has an authority is not trusted on first use without it";
const LINES: &str = "its lines might have refused the key, so a file must be readable";

pub(crate) const ROWS: &[Row] = &[
    row("nobody is known", &[""], NEW),
    row("no file at all", &["absent:"], NEW),
    row("plain", &["h.example {a}"], TRUSTED),
    row("capitals", &["H.Example {a}"], TRUSTED).at("h.EXAMPLE", 22),
    row("with a comment", &["h.example {a} me@here"], TRUSTED),
    row("several names in a line", &["x,h.example,192.0.2.1 {a}"], TRUSTED),
    row("another host", &["i.example {a}"], NEW),
    row("commented out", &["# h.example {a}"], NEW),
    row("changed", &["h.example {b}"], REFUSED),
    row("another key, then this", &["h.example {b}\nh.example {a}"], TRUSTED),
    row("hashed", &["h.example {a}"], TRUSTED).hashed(),
    row("hashed and changed", &["h.example {b}"], REFUSED).hashed(),
    row("hashed with a port", &["[h.example]:2222 {a}"], TRUSTED).hashed().at("h.example", 2222),
    row("port", &["[h.example]:2222 {a}"], TRUSTED).at("h.example", 2222),
    row("port, changed", &["[h.example]:2222 {b}"], REFUSED).at("h.example", 2222),
    row("another port", &["[h.example]:2223 {a}"], NEW).at("h.example", 2222),
    row("port, known without", &["h.example {a}"], TRUSTED).at("h.example", 2222),
    row("port, another known without", &["h.example {b}"], NEW).at("h.example", 2222),
    row("a port in the file only", &["[h.example]:2222 {a}"], NEW),
    row("wildcard", &["*.example {a}"], TRUSTED),
    row("wildcard, changed", &["*.example {b}"], REFUSED),
    row("wildcard with more behind it", &["h.example*.corp {b}"], NEW),
    row("wildcard with more behind it, then this", &["h.example*x {b}\nh.example {a}"], TRUSTED),
    row("negated, with more behind it", &["!h.example*.corp,*.example {a}"], TRUSTED),
    row("wildcards around", &["*.e*a*e {b}"], REFUSED),
    row("question mark", &["?.example {a}"], TRUSTED),
    row("wildcard with a port", &["[*.example]:2222 {a}"], TRUSTED).at("h.example", 2222),
    row("negated", &["*.example,!h.example {b}"], NEW),
    row("negation first", &["!h.example,*.example {b}"], NEW),
    row("IPv6", &["2001:db8::1 {a}"], TRUSTED).at("2001:db8::1", 22),
    row("IPv6, changed", &["2001:db8::1 {b}"], REFUSED).at("2001:db8::1", 22),
    row("IPv6 with a port", &["[2001:db8::1]:2222 {a}"], TRUSTED).at("2001:db8::1", 2222),
    row("two files, known in the second", &["", "h.example {a}"], TRUSTED),
    row("two files, another in the first", &["h.example {b}", "h.example {a}"], TRUSTED),
    row("two files, another in the second", &["", "h.example {b}"], REFUSED),
    row("several types, all known", &["h.example {r}\nh.example {e}\nh.example {a}"], TRUSTED)
        .shows(&["a", "r", "e"]),
    row("several types, the last one known", &["h.example {r}"], TRUSTED).shows(&["a", "e", "r"]),
    row("several types, the known one changed", &["h.example {b}"], REFUSED).shows(&["r", "a"]),
    row("RSA", &["h.example {r}"], TRUSTED).shows(&["r"]),
    row("ECDSA", &["h.example {e}"], TRUSTED).shows(&["e"]),
    row("other type known", &["h.example {e}"], REFUSED),
    row("other type known, no other shown", &["h.example {r}"], REFUSED).shows(&["e"]),
    row("revoked", &["@revoked h.example {a}"], REFUSED),
    row("revoked for everybody", &["h.example {a}\n@revoked * {a}"], REFUSED),
    row("revoked in the second file", &["h.example {a}", "@revoked * {a}"], REFUSED),
    row("revoked for another host", &["@revoked i.example {a}\nh.example {a}"], TRUSTED),
    row("revoked by a line that is no text", &["h.example {a}\n@revoked {ff},* {a}"], REFUSED),
    row("revoked, a comment that is no text", &["h.example {a}\n@revoked * {a} {ff}"], REFUSED),
    row("known by a line that is no text", &["{ff},h.example {a}"], TRUSTED),
    row("changed in a line that is no text", &["{ff},h.example {b}"], REFUSED),
    row("another key revoked", &["@revoked * {b}\nh.example {a}"], TRUSTED),
    row("unknown marker", &["@what h.example {b}"], NEW),
    row("half a key", &["h.example ssh-ed25519 AAAA\nh.example {a}"], TRUSTED),
    row("half a key only", &["h.example ssh-ed25519 AAAAC3Nz"], NEW),
    row("key of another type than it says", &["h.example ssh-rsa AAAAC3NzaC1lZDI1NTE5"], NEW),
    row("nonsense", &["\u{1}\u{2}|1|\n|1|x|y z\n,,,\n\nh.example {a}"], TRUSTED),
    row("a last line without an end", &["h.example {a} x"], TRUSTED),
    row("carriage returns", &["h.example {a}\r\n"], TRUSTED),
    row("not a file", &["folder:"], REFUSED).but_openssh(&[NEW], LINES),
    row("alias", &["shared {a}\nh.example {b}"], TRUSTED).alias("shared"),
    row("alias in capitals, with a port", &["shared {a}"], TRUSTED)
        .alias("SHARED")
        .at("h.example", 2222),
    row("alias, changed", &["shared {b}\nh.example {a}"], REFUSED).alias("shared"),
    row("alias, unknown", &["h.example {a}"], NEW).alias("shared"),
    row("a name that would be a pattern", &[""], REFUSED).at("*.example", 22),
    row("certificate", &["@cert-authority *.example {ca}"], TRUSTED).certified("good"),
    row("certificate by an RSA key", &["@cert-authority *.example {rsaca}"], TRUSTED)
        .certified("rsa-signed"),
    row("certificate signed with SHA-1", &["@cert-authority *.example {rsaca}"], REFUSED)
        .certified("sha1-signed")
        .but_openssh(&[NEW], AUTHORITY),
    row("signed with SHA-1, key known", &["@cert-authority * {rsaca}\nh.example {a}"], TRUSTED)
        .certified("sha1-signed"),
    row("certificate, hashed line", &["@cert-authority h.example {ca}"], TRUSTED)
        .certified("good")
        .hashed(),
    row("certificate, port", &["@cert-authority [h.example]:2222 {ca}"], TRUSTED)
        .certified("good")
        .at("h.example", 2222),
    row("certificate, port, line without", &["@cert-authority *.example {ca}"], TRUSTED)
        .certified("good")
        .at("h.example", 2222),
    row("certificate, alias", &["@cert-authority * {ca}"], TRUSTED)
        .certified("good")
        .alias("other.example"),
    row("certificate, alias it is not for", &["@cert-authority * {ca}"], REFUSED)
        .certified("good")
        .alias("shared")
        .but_openssh(&[NEW], AUTHORITY),
    row("certificate, line for other hosts", &["@cert-authority *.org {ca}"], NEW)
        .certified("good"),
    row("certificate by another authority", &["@cert-authority * {ca2}"], REFUSED)
        .certified("good")
        .but_openssh(&[NEW], AUTHORITY),
    row("certificate, bare key known", &["h.example {a}"], TRUSTED).certified("good"),
    row("certificate, another key known", &["h.example {b}"], REFUSED).certified("good"),
    row("certificate, another key known, too", &["@cert-authority * {ca}\nh.example {b}"], TRUSTED)
        .certified("good"),
    row("certificate for another host", &["@cert-authority * {ca}"], REFUSED)
        .certified("wrong-principal")
        .but_openssh(&[NEW], AUTHORITY),
    row("for another host, bare key known", &["@cert-authority * {ca}\nh.example {a}"], TRUSTED)
        .certified("wrong-principal"),
    row("expired", &["@cert-authority * {ca}"], REFUSED)
        .certified("expired")
        .but_openssh(&[NEW], AUTHORITY),
    row("expired, another key known", &["@cert-authority * {ca}\nh.example {b}"], REFUSED)
        .certified("expired"),
    row("not yet valid", &["@cert-authority * {ca}"], REFUSED)
        .certified("not-yet")
        .but_openssh(&[NEW], AUTHORITY),
    row("critical option", &["@cert-authority * {ca}"], REFUSED)
        .certified("critical")
        .but_openssh(&[NEW], AUTHORITY),
    row("no principals", &["@cert-authority * {ca}"], REFUSED)
        .certified("no-principals")
        .but_openssh(&[TRUSTED, NEW], OLDER),
    row("wildcard principal", &["@cert-authority * {ca}"], TRUSTED)
        .certified("wild-principal")
        .but_openssh(&[NEW], YOUNGER),
    row("authority revoked", &["@cert-authority * {ca}\n@revoked * {ca}"], REFUSED)
        .certified("good"),
    row("certified key revoked", &["@cert-authority * {ca}\n@revoked * {a}"], REFUSED)
        .certified("good"),
    row("authority's key as a host's", &["h.example {ca}"], REFUSED).certified("good"),
    row("authority, but a bare key shown", &["@cert-authority * {ca}"], REFUSED)
        .but_openssh(&[NEW], AUTHORITY),
    row("authority's own key shown", &["@cert-authority * {a}"], REFUSED)
        .but_openssh(&[NEW], AUTHORITY),
    row("other type known, certificate shown", &["h.example {e}"], REFUSED).certified("good"),
];
