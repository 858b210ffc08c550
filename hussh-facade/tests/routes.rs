//! How to get there, and as whom: jump hosts, proxy commands and `ssh_config`, over every library.

mod common;
#[path = "common/example.rs"]
mod example;

use std::fs;
use std::process::Command;
use std::time::Duration;

use common::for_each_library;
use example::example;
use hussh::sync::{Connection, ConnectionPool, Library};
use hussh::{Auth, Builder, Error, HostKeyPolicy, JumpHost, Kind, SshConfig};
use test_servers::sshd::{PasswordUser, ServerCounters, Sshd};

for_each_library! {
    two_jumps_with_three_credentials_lead_there
    the_same_two_jumps_are_read_from_ssh_config
    a_pool_counts_as_many_logins_on_every_host
    a_pool_notices_another_key_of_a_jump_host
    a_proxy_command_leads_there
    what_leads_nowhere_is_refused_by_name
    no_secret_is_shown
}

/// Three servers, of which the last two are reached through the one before, and a user with a
/// password on the second.
struct Chain {
    servers: [Sshd; 3],
    user: PasswordUser,
    folder: tempfile::TempDir,
}

impl Chain {
    fn start() -> Self {
        let servers = [(); 3].map(|()| Sshd::start().expect("sshd"));
        let user = PasswordUser::create().expect("a user; run the tests as root");
        let folder = tempfile::tempdir().expect("a folder");
        Self { servers, user, folder }
    }

    /// By a key, by a password, and the target by an encrypted key.
    fn hops(&self) -> [JumpHost; 2] {
        let [first, second, _] = &self.servers;
        let known = || [self.folder.path().join("known_hosts")];
        [
            JumpHost::new(first.host(), first.user())
                .port(first.port())
                .private_key(first.identity(), None)
                .known_hosts(known()),
            JumpHost::new(second.host(), self.user.name())
                .port(second.port())
                .password(self.user.password())
                .known_hosts(known()),
        ]
    }

    fn target<L: Library>(&self) -> Builder<Connection<L>> {
        let target = &self.servers[2];
        Connection::builder(target.host(), target.user())
            .port(target.port())
            .private_key(target.encrypted_identity(), Some(target.passphrase()))
            .known_hosts([self.folder.path().join("known_hosts")])
    }

    fn authentications(&self) -> [usize; 3] {
        self.servers.each_ref().map(Sshd::authentications)
    }
}

/// `$SSH_CONNECTION` names the client: for a target behind a jump host that is the jump host, so
/// every one of them here is this machine. What tells them apart is the port.
fn port_of<L: Library>(connection: &Connection<L>) -> String {
    let output = connection.execute("echo $SSH_CONNECTION").expect("output");
    output.stdout_lossy().split_whitespace().last().unwrap_or_default().to_owned()
}

fn two_jumps_with_three_credentials_lead_there<L: Library>() {
    let chain = Chain::start();
    let [first, second] = chain.hops();
    let connection = chain.target::<L>().jump(first).jump(second).connect().expect("connected");
    assert_eq!(port_of(&connection), chain.servers[2].port().to_string());
    assert_eq!(chain.authentications(), [1, 1, 1]);
    let known = fs::read_to_string(chain.folder.path().join("known_hosts")).expect("a file");
    assert_eq!(known.lines().count(), 3, "each host's key is recorded: {known}");
}

/// A configuration for the chain, with a key for each host.
fn configuration(chain: &Chain) -> String {
    let [first, second, target] = &chain.servers;
    format!(
        "Host first\n HostName {}\n Port {}\n User {}\n IdentityFile {}\n\
         Host second\n HostName {}\n Port {}\n User {}\n IdentityFile {}\n ProxyJump first\n\
         Host target\n HostName {}\n Port {}\n User {}\n IdentityFile {}\n ProxyJump second\n\
         Host *\n UserKnownHostsFile {}\n StrictHostKeyChecking accept-new\n IdentitiesOnly yes\n",
        first.host(),
        first.port(),
        first.user(),
        first.identity().display(),
        second.host(),
        second.port(),
        second.user(),
        second.identity().display(),
        target.host(),
        target.port(),
        target.user(),
        target.identity().display(),
        chain.folder.path().join("known_hosts").display(),
    )
}

fn the_same_two_jumps_are_read_from_ssh_config<L: Library>() {
    let chain = Chain::start();
    let target = &chain.servers[2];
    let path = chain.folder.path().join("config");
    fs::write(&path, configuration(&chain)).expect("written");
    let config = SshConfig::load(&path).expect("a configuration");
    let connection = Connection::<L>::from_config("target", &config).expect("configured");
    let connection = connection.connect().expect("connected");
    assert_eq!(port_of(&connection), target.port().to_string());
    assert_eq!(chain.authentications(), [1, 1, 1]);
    let pool = ConnectionPool::<L>::from_config("target", &config).expect("configured");
    let pool = pool.max_connections(2).build().expect("valid");
    assert!(pool.execute("true").expect("output").success());
}

#[test]
fn the_example_goes_where_the_users_own_configuration_leads() {
    let chain = Chain::start();
    let folder = chain.folder.path().join(".ssh");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("config"), configuration(&chain)).expect("written");
    let run = |hosts: &[&str]| {
        let mut command = Command::new(example("hosts"));
        command.arg("echo $SSH_CONNECTION").args(hosts).env("HOME", chain.folder.path());
        let output = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let (success, printed, complaints) = run(&["target", "first"]);
    assert!(success, "{complaints}");
    for (line, (host, server)) in printed.lines().zip([("target", 2), ("first", 0)]) {
        let port = chain.servers[server].port().to_string();
        assert!(line.starts_with(host) && line.ends_with(&port), "{printed}");
    }
    let (success, _, complaints) = run(&["first", "no-such-host.invalid"]);
    assert!(!success && complaints.starts_with("no-such-host.invalid: "), "{complaints}");
}

fn a_pool_counts_as_many_logins_on_every_host<L: Library>() {
    let chain = Chain::start();
    let [first, second] = chain.hops();
    let target = &chain.servers[2];
    let pool = ConnectionPool::<L>::builder(target.host(), target.user())
        .port(target.port())
        .private_key(target.identity(), None)
        .known_hosts([chain.folder.path().join("known_hosts")])
        .jump(first)
        .jump(second)
        .max_connections(2)
        .build()
        .expect("valid");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert!(pool.execute("true").expect("output").success());
                }
            });
        }
    });
    let counts = chain.authentications();
    assert!(counts.iter().all(|count| (1..=2).contains(count)), "{counts:?}");
    pool.close().expect("closed");
    for server in &chain.servers {
        let gone = |_: &ServerCounters| ended(&server.log()) >= server.authentications();
        server.wait_for(Duration::from_secs(5), gone).expect("nothing is left open");
    }
}

/// How many connections a log says are over.
fn ended(log: &str) -> usize {
    let ends = ["Disconnected from user", "Connection closed by", "Connection reset by"];
    log.lines().filter(|line| ends.iter().any(|end| line.starts_with(end))).count()
}

fn a_pool_notices_another_key_of_a_jump_host<L: Library>() {
    let mut chain = Chain::start();
    let [first, _] = chain.hops();
    let target = &chain.servers[2];
    let pool = ConnectionPool::<L>::builder(target.host(), target.user())
        .port(target.port())
        .private_key(target.identity(), None)
        .known_hosts([chain.folder.path().join("known_hosts")])
        .jump(first)
        .build()
        .expect("valid");
    assert!(pool.execute("true").expect("output").success());
    let failed = chain.servers[0].failed_authentications();
    chain.servers[0].change_host_key().expect("changed");
    let error = pool.execute("true").expect_err("refused");
    assert_eq!(error.kind(), Some(Kind::HostKey), "{error}");
    assert!(error.to_string().contains(&chain.servers[0].port().to_string()), "{error}");
    assert_eq!(chain.servers[0].failed_authentications(), failed);
    assert_eq!(chain.servers[0].authentications(), 1);
    // Mended on disk, by whoever knows of the new key, it goes on without a new pool, once the pool
    // asks again: newcomers are told the refusal for a second or two.
    fs::remove_file(chain.folder.path().join("known_hosts")).expect("removed");
    let start = std::time::Instant::now();
    while let Err(error) = pool.execute("true") {
        assert!(start.elapsed().as_secs() < 10, "{error}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn a_proxy_command_leads_there<L: Library>() {
    let chain = Chain::start();
    let command = "bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill $!'";
    let connection = chain.target::<L>().proxy_command(command).connect().expect("connected");
    assert_eq!(port_of(&connection), chain.servers[2].port().to_string());
    // The last word counts.
    let [first, _] = chain.hops();
    let connection = chain.target::<L>().proxy_command("false").jump(first).connect();
    assert!(connection.expect("connected").execute("true").expect("output").success());
}

fn what_leads_nowhere_is_refused_by_name<L: Library>() {
    let refused = |builder: Builder<Connection<L>>, named: &str| {
        let error = builder.connect().expect_err("refused");
        assert_eq!(error.kind(), Some(Kind::InvalidInput), "{error}");
        assert!(error.to_string().contains(named), "{error} names {named}");
    };
    let builder = |host: &str| Connection::<L>::builder(host, "u").password("p");
    refused(builder("h").proxy_command("nc %x"), "proxy_command");
    refused(builder("h").proxy_command(""), "proxy_command");
    refused(builder("a;b").proxy_command("nc %h %p"), "proxy_command");
    refused(builder("h").jump(JumpHost::new("", "u")), "host");
    let hop = || JumpHost::new("j", "u").password("p");
    let late = builder("h").jump(hop()).jump(hop().proxy_command("nc %h %p"));
    refused(late, "jump");
    let many = (0..17).fold(builder("h"), |builder, _| builder.jump(hop()));
    refused(many, "jump");
    let config = SshConfig::parse("Host h\n Port none\n", "/config").map_err(Error::from);
    let configured = config.and_then(|config| Connection::<L>::from_config("h", &config));
    let text = configured.expect_err("refused").to_string();
    assert!(text.contains("/config:2"), "{text}");
}

fn no_secret_is_shown<L: Library>() {
    let builder = Connection::<L>::builder("h", "u")
        .password("geheim")
        .ask_password(|_| Some("geheim".into()))
        .keyboard_interactive(|_| Some(vec!["geheim".into()]))
        .auth(Auth::key_data("geheim"))
        .host_keys(HostKeyPolicy::Strict);
    let hop = JumpHost::new("j", "u").password("geheim");
    for builder in [builder.clone().jump(hop), builder.proxy_command("nc --auth geheim")] {
        assert!(!format!("{builder:?}").contains("geheim"), "{builder:?}");
    }
}
