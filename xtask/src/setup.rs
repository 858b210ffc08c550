//! What the tests need from the system, and how it gets there.

use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{step, succeeds};

struct Prerequisite {
    what: &'static str,
    package: &'static str,
    is_there: fn() -> bool,
}

const PREREQUISITES: &[Prerequisite] = &[
    Prerequisite {
        what: "OpenSSH server (sshd)",
        package: "openssh-server",
        is_there: || has("sshd") || std::path::Path::new("/usr/sbin/sshd").exists(),
    },
    Prerequisite {
        what: "Dropbear's server (dropbear)",
        package: "dropbear-bin",
        is_there: || {
            has("dropbearkey")
                && (has("dropbear") || std::path::Path::new("/usr/sbin/dropbear").exists())
        },
    },
    Prerequisite {
        what: "OpenSSH client (ssh)",
        package: "openssh-client",
        is_there: || has("ssh"),
    },
    Prerequisite { what: "C compiler (cc)", package: "gcc", is_there: || has("cc") },
    Prerequisite { what: "make", package: "make", is_there: || has("make") },
    Prerequisite { what: "pkg-config", package: "pkg-config", is_there: || has("pkg-config") },
    Prerequisite {
        what: "OpenSSL headers",
        package: "libssl-dev",
        is_there: || succeeds("pkg-config", &["--exists", "openssl"]),
    },
    Prerequisite {
        what: "zlib headers",
        package: "zlib1g-dev",
        is_there: || succeeds("pkg-config", &["--exists", "zlib"]),
    },
    Prerequisite { what: "python3", package: "python3", is_there: || has("python3") },
    Prerequisite { what: "ip (iproute2)", package: "iproute2", is_there: || has("ip") },
    Prerequisite {
        what: "python3's venv",
        package: "python3-venv",
        is_there: || succeeds("python3", &["-c", "import ensurepip, venv"]),
    },
    Prerequisite { what: "sudo", package: "sudo", is_there: || has("sudo") },
    Prerequisite { what: "ps (procps)", package: "procps", is_there: || has("ps") },
];

/// Fails with the names of what is missing; as root on a Debian system it installs it first.
pub(crate) fn check() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("==> setup: all there");
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().map(|one| one.package).collect();
    if succeeds("sh", &["-c", "test \"$(id -u)\" = 0 && command -v apt-get"]) {
        step("package lists", Command::new("apt-get").arg("update"))?;
        let mut install = Command::new("apt-get");
        install.env("DEBIAN_FRONTEND", "noninteractive");
        install.args(["install", "-y", "--no-install-recommends"]).args(&packages);
        step("packages", &mut install)?;
    }
    let missing = self::missing();
    if missing.is_empty() {
        return Ok(());
    }
    let what: Vec<_> = missing.iter().map(|one| one.what).collect();
    bail!("missing: {}. On Debian: sudo apt-get install {}", what.join(", "), packages.join(" "),)
}

fn missing() -> Vec<&'static Prerequisite> {
    PREREQUISITES.iter().filter(|one| !(one.is_there)()).collect()
}

fn has(program: &str) -> bool {
    succeeds("sh", &["-c", &format!("command -v {program}")])
}
