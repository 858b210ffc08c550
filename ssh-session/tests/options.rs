//! Options from a configuration, and what is refused in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ssh_session::{
    Auth, CertificateSource, HostKeyPolicy, Options, Route, SshConfig, SshError, Target,
};
use tempfile::TempDir;

fn read(text: &str, alias: &str) -> Result<Options, SshError> {
    Options::from_ssh_config(alias, &SshConfig::parse(text, "/etc/config")?)
}

fn hops(options: &Options) -> Vec<String> {
    let Route::Jump(hops) = &options.route else { return Vec::new() };
    hops.iter().map(|hop| hop.target.to_string()).collect()
}

#[test]
fn a_configuration_becomes_options() {
    let text = "Host web\n HostName web.example\n Port 2222\n User deploy\n IdentityFile /k1\n \
                IdentityFile /k2\n UserKnownHostsFile /a /b\n GlobalKnownHostsFile /c\n \
                StrictHostKeyChecking yes\n HostKeyAlias Shared\n ServerAliveInterval 15\n \
                ServerAliveCountMax 2\n ConnectTimeout 4\n IdentityAgent none\n\
                Host *\n StrictHostKeyChecking no\n ServerAliveCountMax 0\n ServerAliveInterval 1m\n";
    let options = read(text, "web").expect("options");
    assert_eq!(options.target, Target::new("web.example", 2222, "deploy").expect("a target"));
    assert_eq!(format!("{:?}", options.auth), "[KeyFile(\"/k1\"), KeyFile(\"/k2\")]");
    assert_eq!(options.host_keys.policy, HostKeyPolicy::Strict);
    assert_eq!(options.host_keys.alias.as_deref(), Some("shared"));
    assert_eq!(options.host_keys.files.written(), Some(&PathBuf::from("/a")));
    assert_eq!(options.connect_timeout, Duration::from_secs(4));
    let keepalive = options.keepalive;
    assert_eq!((keepalive.interval, keepalive.count_max), (Some(Duration::from_secs(15)), 2));
    options.validate().expect("valid");

    let options = read(text, "me@other").expect("options");
    assert_eq!(options.host_keys.policy, HostKeyPolicy::AcceptNew);
    assert_eq!(options.keepalive.count_max, 1);
    assert_eq!(format!("{:?}", options.auth), "[agent and default keys]");
    assert_eq!(options.target.user(), "me");
    assert!(matches!(options.route, Route::Direct));
}

#[test]
fn jump_hosts_are_looked_up_in_the_same_configuration() {
    let text = "Host target\n ProxyJump b\nHost b\n HostName bastion\n User jump\n Port 2200\n \
                IdentityFile /bastion-key\n ProxyJump a\nHost a\n HostName gate\n ProxyCommand nc %h %p\n\
                Host listed\n ProxyJump x,y@b:1,z\nHost z\n ProxyJump never\n\
                Host *\n User everybody\n StrictHostKeyChecking yes\n IdentityAgent none\n";
    let options = read(text, "target").expect("options");
    assert_eq!(hops(&options), ["everybody@gate", "jump@bastion:2200"]);
    let Route::Jump(chain) = &options.route else { panic!("a chain") };
    assert!(matches!(chain[0].route, Route::Command(_)));
    assert!(matches!(chain[1].route, Route::Direct));
    assert!(format!("{:?}", chain[1].auth).contains("/bastion-key"));
    assert_eq!(chain[0].host_keys.policy, HostKeyPolicy::Strict);

    // A list says how each of its hosts is reached, whatever their own configuration.
    let options = read(text, "listed").expect("options");
    assert_eq!(hops(&options), ["everybody@x", "y@bastion:1", "everybody@z"]);
    assert_ne!(options.identity(), read(text, "target").expect("options").identity());
}

#[test]
fn a_host_that_is_reached_through_itself_is_refused() {
    for (text, alias) in [
        ("ProxyJump gate\n", "h"),
        ("Host a\n ProxyJump b\nHost b\n ProxyJump c\nHost c\n ProxyJump b\n", "a"),
        ("Host a\n ProxyJump b,b\n", "a"),
        ("Host a\n ProxyJump A\n", "a"),
    ] {
        let error = read(text, alias).expect_err(text).to_string();
        assert!(error.contains("loop"), "{text}: {error}");
    }
    let mut long = String::new();
    for hop in 0..40 {
        long += &format!("Host h{hop}\n ProxyJump h{}\n", hop + 1);
    }
    assert!(read(&long, "h0").expect_err("long").to_string().contains("16"));
}

#[test]
fn what_would_make_another_session_of_it_is_an_error_with_its_line() {
    for (text, named) in [
        ("\nCheckHostIP yes\n", "/etc/config:2: `CheckHostIP` is not supported"),
        ("ProxyUseFdpass yes\n", "/etc/config:1: `ProxyUseFdpass` is not supported"),
        ("RefuseConnection \"not here\"\n", "/etc/config:1: refuses this host: not here"),
        ("IdentityFile %x\n", "/etc/config:1: \"%x\" has the token `%x`"),
        ("\n\nUserKnownHostsFile ~nobody-here/x\n", "/etc/config:3: "),
    ] {
        let error = read(text, "h").expect_err(text).to_string();
        assert!(error.starts_with(named), "{error}");
    }
    assert!(read("RevokedHostKeys none\nProxyUseFdpass no\n", "h").is_ok());
    // The user comes from the file, and is no user.
    assert!(read("User a\u{1b}b\nHostName x\n", "h").is_err());
    assert!(read("HostName a b\n", "h").is_err());
}

/// A key and a certificate for it.
fn certified(folder: &Path, name: &str) -> PathBuf {
    let keygen = |arguments: &[&str]| {
        let made =
            Command::new("ssh-keygen").arg("-q").args(arguments).current_dir(folder).status();
        assert!(made.expect("ssh-keygen runs").success());
    };
    if !folder.join("ca").exists() {
        keygen(&["-N", "", "-f", "ca"]);
    }
    keygen(&["-N", "", "-f", name, "-t", "ed25519"]);
    keygen(&["-s", "ca", "-I", "id", &format!("{name}.pub")]);
    folder.join(name)
}

#[test]
fn certificates_go_with_their_keys_and_before_them() {
    let folder = TempDir::new().expect("a folder");
    let (one, two) = (certified(folder.path(), "one"), certified(folder.path(), "two"));
    let away = folder.path().join("away");
    fs::rename(folder.path().join("two-cert.pub"), &away).expect("renamed");
    let text = format!(
        "IdentityAgent none\nIdentityFile {}\nIdentityFile {}\nCertificateFile {}\n\
         CertificateFile /absent\n",
        one.display(),
        two.display(),
        away.display()
    );
    let options = read(&text, "h").expect("options");
    options.validate().expect("valid");
    let shown: Vec<String> = options
        .auth
        .iter()
        .map(|auth| match auth {
            Auth::KeyFile { path, .. } => path.display().to_string(),
            Auth::Certificate { key, certificate: CertificateSource::File(file) } => {
                format!("{key:?} with {}", file.display())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let beside = format!("KeyFile({one:?}) with {}-cert.pub", one.display());
    let apart = format!("KeyFile({two:?}) with {}", away.display());
    let (one, two) = (one.display().to_string(), two.display().to_string());
    assert_eq!(shown, [beside, one, apart, two]);
}

#[test]
fn with_identities_only_the_agent_is_asked_for_these_keys_only() {
    let text = "IdentitiesOnly yes\nIdentityAgent /agent\nIdentityFile /k\n";
    let options = read(text, "h").expect("options");
    assert_eq!(
        format!("{:?}", options.auth),
        "[AgentWith(Some(\"/agent\"), [\"/k\"]), KeyFile(\"/k\")]"
    );
    let options = read("IdentityAgent /agent\nIdentityFile /k\n", "h").expect("options");
    assert_eq!(format!("{:?}", options.auth), "[KeyFile(\"/k\"), AgentWith(Some(\"/agent\"), [])]");
}

#[test]
fn chains_that_make_no_sense_are_refused() {
    let host =
        || Options::new(Target::new("h", 22, "u").expect("a target")).auth(Auth::password("p"));
    let jump = |hops| host().route(Route::Jump(hops)).validate();
    jump(vec![host(), host()]).expect("valid");
    assert!(jump(Vec::new()).is_err());
    assert!(jump(vec![host(); Route::MAX_HOPS + 1]).is_err());
    assert!(jump(vec![host().route(Route::Jump(vec![host()]))]).is_err());
    assert!(jump(vec![Options::new(host().target)]).is_err(), "a hop without credentials");
}
