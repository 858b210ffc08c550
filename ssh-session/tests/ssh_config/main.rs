//! Our reading of configuration files beside that of `ssh -G`.

mod cases;
mod generated;
mod lists;
mod readings;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cases::{AGREED, KEYWORDS_OF_SSH, NOT_OBEYED, REFUSED, SKIPPED};
use readings::{KEYWORDS, Values, home, ours, theirs};
use ssh_session::login::Method;
use ssh_session::ssh_config::HostConfig;
use ssh_session::{Algorithms, Crypto, Options, RekeyLimit, SshConfig, SshError};
use tempfile::TempDir;

/// A folder with the files of one case.
struct Case {
    folder: TempDir,
}

impl Case {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a folder");
        for (name, content) in files {
            let content = content.replace("DIR", folder.path().to_str().expect("text"));
            let path = folder.path().join(name);
            fs::write(&path, content).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        }
        Self { folder }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config")
    }
}

#[test]
fn ssh_and_we_read_the_same_configurations_the_same_way() {
    let mut compared = 0;
    for (what, files, aliases) in AGREED {
        let case = Case::new(files);
        for alias in *aliases {
            let theirs = theirs(&case.config(), alias).unwrap_or_else(|| panic!("{what}: {alias}"));
            let host = SshConfig::load(case.config()).and_then(|config| config.host(alias));
            let host = host.unwrap_or_else(|error| panic!("{what}: {alias}: {error}"));
            assert_same(&host, theirs, &format!("{what}: {alias}"));
            compared += 1;
        }
    }
    println!("{} configurations, {compared} hosts: all equal", AGREED.len());
}

/// That both say the same: lists of algorithms as far as both know them, all else to the letter.
fn assert_same(host: &HostConfig, theirs: Values, what: &str) {
    let (ours, theirs) = lists::compared(ours(host), theirs, what);
    assert_eq!(ours, theirs, "{what} (left ours, right theirs)");
}

#[test]
fn ssh_and_we_read_forty_made_up_configurations_the_same_way() {
    let (mut compared, mut said) = (0, BTreeSet::new());
    for seed in 0..40 {
        let (config, included) = generated::configuration(seed);
        let case = Case::new(&[("config", &config), ("inner", &included)]);
        let text = || format!("seed {seed}:\n{config}\nDIR/inner:\n{included}");
        said.extend(config.lines().chain(included.lines()).filter_map(|line| {
            line.trim().split([' ', '=', '\t']).next().map(str::to_ascii_lowercase)
        }));
        for alias in generated::ALIASES {
            let theirs =
                theirs(&case.config(), alias).unwrap_or_else(|| panic!("ssh, {alias}, {}", text()));
            let host = SshConfig::load(case.config()).and_then(|config| config.host(alias));
            let host = host.unwrap_or_else(|error| panic!("{alias}: {error}, {}", text()));
            assert_same(&host, theirs, &format!("{alias}, {}", text()));
            compared += 1;
        }
    }
    for keyword in KEYWORDS.iter().chain(&["host", "match", "include"]) {
        assert!(said.contains(*keyword), "{keyword} is in one of the configurations");
    }
    println!("40 configurations, {compared} hosts, {} keywords: all equal", said.len());
}

#[test]
fn what_ssh_refuses_we_refuse_naming_file_and_line() {
    for (what, content, wanted) in REFUSED {
        let case = Case::new(&[("config", content)]);
        assert_eq!(theirs(&case.config(), "a"), None, "{what}: ssh refuses it");
        let error = SshConfig::load(case.config()).and_then(|config| config.host("a"));
        let error = error.map(|host| ours(&host)).expect_err(what);
        match &error {
            SshError::Config { path, line, .. } if path == &case.config() => {
                assert_eq!(line, wanted, "{what}: {error}");
            }
            error => panic!("{what}: {error}"),
        }
        assert!(error.to_string().contains(case.folder.path().to_str().expect("text")), "{error}");
    }
    println!("{} refusals", REFUSED.len());
}

/// What `ssh -G` says about every keyword that it knows.
fn all_of_theirs(file: &Path) -> BTreeMap<String, String> {
    let output = Command::new("ssh").arg("-G").arg("-F").arg(file).arg("h").output();
    let output = output.expect("ssh runs (Debian package openssh-client)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let line = |line: &str| {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        (keyword.to_ascii_lowercase(), value.to_owned())
    };
    text.lines().map(line).collect()
}

/// The keywords that ssh_config(5) has a paragraph for.
fn manual() -> Vec<String> {
    let page = "/usr/share/man/man5/ssh_config.5.gz";
    let output = Command::new("zcat").arg(page).output().expect("zcat runs (Debian package gzip)");
    assert!(output.status.success(), "{page} is there (Debian package openssh-client)");
    let text = String::from_utf8_lossy(&output.stdout);
    let keywords = text.lines().filter_map(|line| line.strip_prefix(".It Cm "));
    // Values have paragraphs of their own; they begin with a small letter.
    let keywords = keywords.filter(|word| word.starts_with(|c: char| c.is_ascii_uppercase()));
    keywords.map(|word| word.split(' ').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn every_keyword_of_ssh_is_obeyed_refused_by_name_or_changes_nothing() {
    let mut counts = [0; 3];
    let obeyed = |keyword: &str| {
        // Those that `ssh -G` says nothing of, or not as such.
        let also = [
            "host",
            "match",
            "include",
            "hostname",
            "ignoreunknown",
            "tag",
            "refuseconnection",
            "verifyhostkeydns",
        ];
        KEYWORDS.contains(&keyword) || also.contains(&keyword)
    };
    for keyword in KEYWORDS_OF_SSH {
        let lower = keyword.to_ascii_lowercase();
        let refused = NOT_OBEYED.iter().find(|(name, ..)| *name == *keyword);
        let skipped = SKIPPED.contains(keyword);
        let places = [obeyed(&lower), refused.is_some(), skipped].map(usize::from);
        assert_eq!(places.iter().sum::<usize>(), 1, "{keyword} is in one list: {places:?}");
        for (count, place) in counts.iter_mut().zip(places) {
            *count += place;
        }
        if let Some((_, refused, harmless)) = refused {
            for value in *refused {
                let text = format!("Host h\n {keyword} {value}\n");
                let config = SshConfig::parse(&text, "/x").expect(keyword);
                let error = Options::from_ssh_config("h", &config).expect_err(&text).to_string();
                assert_eq!(error, format!("/x:2: `{keyword}` is not supported"));
                // Where it is not about the host it does no harm, nor behind a harmless value.
                Options::from_ssh_config("i", &config).expect("another host");
                for first in *harmless {
                    let text = format!("{keyword} {first}\nHost h\n {keyword} {value}\n");
                    let config = SshConfig::parse(&text, "/x").expect(keyword);
                    Options::from_ssh_config("h", &config).expect("the first value counts");
                }
            }
        }
        if skipped {
            let config = SshConfig::parse(format!("{keyword} x\n"), "/x").expect(keyword);
            Options::from_ssh_config("h", &config).expect(keyword);
        }
    }
    // What this version of `ssh` knows and prints is in the list.
    let case = Case::new(&[("config", "")]);
    let printed = all_of_theirs(&case.config());
    assert!(printed.len() > 60, "{}", printed.len());
    for keyword in printed.keys() {
        let known = KEYWORDS_OF_SSH.iter().any(|name| name.eq_ignore_ascii_case(keyword));
        assert!(known, "{keyword} is in the list");
    }
    // So is what the manual of the one that is installed has.
    let manual = manual();
    assert!(manual.len() > 90, "{}", manual.len());
    for keyword in &manual {
        let known = KEYWORDS_OF_SSH.iter().any(|name| name.eq_ignore_ascii_case(keyword));
        assert!(known, "{keyword} is in the list");
    }
    println!("{} obeyed, {} refused by name, {} without effect", counts[0], counts[1], counts[2]);
}

#[test]
fn what_a_configuration_says_of_keys_and_methods_is_what_a_session_is_opened_with() {
    let text = "Host h\n Ciphers aes256-ctr\n KexAlgorithms -curve*\n MACs +hmac-sha1\n \
                PubkeyAcceptedAlgorithms ssh-ed25519\n RekeyLimit 1G 1h\n HostKeyAlgorithms ssh-ed25519\n CASignatureAlgorithms +ssh-rsa\n \
                RequiredRSASize 3072\n HashKnownHosts yes\n RevokedHostKeys /r ~/q\n \
                PasswordAuthentication no\n PreferredAuthentications gssapi-with-mic,publickey,password\n\
                Host prompts\n NumberOfPasswordPrompts 0\nHost low\n RequiredRSASize 10\n";
    let config = SshConfig::parse(text, "/x").expect("a configuration");
    let options = |alias: &str| Options::from_ssh_config(alias, &config).expect("options");
    let h = options("h");
    assert_eq!(h.crypto.names(Algorithms::Ciphers), ["aes256-ctr"]);
    let usual = Crypto::default().with(Algorithms::KeyExchange, "-curve*").expect("a list");
    assert_eq!(h.crypto.names(Algorithms::KeyExchange), usual.names(Algorithms::KeyExchange));
    assert!(h.crypto.has(Algorithms::Macs, "hmac-sha1"));
    assert_eq!(h.crypto.names(Algorithms::UserKeys), ["ssh-ed25519"]);
    let limit = RekeyLimit { bytes: Some(1 << 30), time: Some(Duration::from_secs(3600)) };
    assert_eq!(h.crypto.rekey_limit(), limit);
    assert_eq!(options("other").crypto, Crypto::default());
    assert_eq!(h.host_keys.algorithms.names(), ["ssh-ed25519"]);
    assert!(h.host_keys.ca_algorithms.names().contains(&"ssh-rsa".to_owned()));
    assert_eq!(h.key_rules.required_rsa_size, 3072);
    assert!(h.host_keys.hash_names);
    let revoked = [PathBuf::from("/r"), PathBuf::from(home()).join("q")];
    assert_eq!(h.host_keys.revoked, revoked);
    let allowed = |options: &Options| {
        [Method::PublicKey, Method::Password, Method::KeyboardInteractive]
            .map(|method| options.methods.allow(method))
    };
    assert_eq!(allowed(&h), [true, false, false]);
    assert_eq!(allowed(&options("prompts")), [true, false, false]);
    assert_eq!(allowed(&options("other")), [true; 3]);
    assert_eq!(options("low").key_rules.required_rsa_size, 1024);
}

#[test]
fn no_command_is_run_to_read_a_file() {
    let case = Case::new(&[("config", "")]);
    let witness = case.folder.path().join("witness");
    let run = format!("exec \"touch {}\"", witness.display());
    let load = |content: &str| {
        fs::write(case.config(), content).expect("written");
        SshConfig::load(case.config()).expect("readable").host("a")
    };
    let error = load(&format!("Match {run}\n Port 1\n")).expect_err("exec is refused");
    assert!(error.to_string().contains("config:1: `Match exec` is not supported"), "{error}");
    // Where nothing depends on it, it does no harm.
    assert_eq!(load(&format!("Match host b {run}\n Port 1\n")).expect("not asked").port, 22);
    let inside = format!("Host b\nInclude {}\n", case.folder.path().join("inner").display());
    fs::write(case.folder.path().join("inner"), format!("Match {run}\n Port 1\n"))
        .expect("written");
    assert_eq!(load(&inside).expect("not asked").port, 22);
    assert!(!witness.exists());
}

#[test]
fn a_file_that_others_can_write_to_is_not_included() {
    let case = Case::new(&[("config", "Include DIR/inner\n"), ("inner", "Port 5\n")]);
    let inner = case.folder.path().join("inner");
    assert_eq!(SshConfig::load(case.config()).expect("fine").host("a").expect("fine").port, 5);
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o666)).expect("permissions");
    assert_eq!(theirs(&case.config(), "a"), None);
    let error = SshConfig::load(case.config()).expect_err("bad permissions");
    assert!(error.to_string().contains("inner"), "{error}");
}

#[test]
fn files_that_never_end_are_not_read() {
    let case = Case::new(&[("config", "Include DIR/pipe\n"), ("large", "")]);
    fs::write(case.folder.path().join("large"), vec![b'\n'; (1 << 20) + 1]).expect("written");
    assert!(SshConfig::load(case.folder.path().join("large")).is_err());
    let pipe = case.folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    assert!(SshConfig::load(case.config()).is_err());
    assert!(SshConfig::load("/dev/zero").is_err());
    assert!(SshConfig::load(case.folder.path().join("absent")).is_err());
    // Nothing is a fine configuration.
    SshConfig::load("/dev/null").expect("empty").host("a").expect("defaults");
}

#[test]
fn files_that_include_each_other_twice_are_not_read_for_ever() {
    let names: Vec<String> = (0..20).map(|depth| format!("f{depth}")).collect();
    let contents: Vec<String> =
        (0..20).map(|depth| format!("Include DIR/f{0} DIR/f{0}\n", depth + 1)).collect();
    let mut files: Vec<(&str, &str)> =
        names.iter().zip(&contents).map(|(name, content)| (&**name, &**content)).collect();
    files.push(("config", "Include DIR/f8\n"));
    files.push(("f20", "Port 5\n"));
    let error = SshConfig::load(Case::new(&files).config()).expect_err("too many");
    assert!(error.to_string().contains("512"), "{error}");
}

#[test]
fn hostile_text_is_cut_and_escaped_in_errors() {
    let huge = "x".repeat(900_000);
    for line in [
        format!("Fo\u{1b}]0;pwned\u{7}o{huge} x"),
        format!("Port \u{1b}[31m{huge}"),
        format!("Match \u{1b}[31m{huge} x"),
        format!("ProxyJump \u{1b}[31m{huge}"),
        "ProxyCommand nc %\u{1b}".to_owned(),
        format!("IdentityFile %\u{1b}{huge}"),
        format!("UserKnownHostsFile ~\u{1b}{huge}/x"),
        format!("HostName %\u{1b}{huge}"),
        format!("Include ~\u{1b}{huge}/x"),
        format!("Include ${{\u{1b}{huge}}}"),
        format!("ConnectTimeout {huge}\u{1b}"),
        format!("RefuseConnection {huge}\u{1b}"),
    ] {
        let error = SshConfig::parse(&line, "config").and_then(|config| config.host("a"));
        let error = error.map(|host| ours(&host)).expect_err("refused");
        for text in [error.to_string(), format!("{error:?}")] {
            assert!(text.len() < 2_000, "{} bytes", text.len());
            assert!(!text.chars().any(char::is_control), "{text:?}");
        }
    }
    let config = SshConfig::parse("", "config").expect("empty");
    for alias in ["a\u{1b}b", "-oProxyCommand=x", "$(x)", "", "u@", "a b", huge.as_str()] {
        if let Err(error) = config.host(alias) {
            let text = error.to_string();
            assert!(text.len() < 2_000 && !text.chars().any(char::is_control), "{text:?}");
        } else {
            assert_eq!(alias, huge, "{alias:?} is no host");
        }
    }
}
