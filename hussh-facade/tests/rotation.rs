//! Host keys that change while a pool runs: announced, behind one address, without a word.

use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use hussh::sync::{ConnectionPool, Library};
use hussh::{Builder, Error, HostKeyPolicy, HostKeyProblem, PoolKind, SshError};
use test_servers::keys::KeyKind;
use test_servers::sshd::Sshd;

/// Runs so many commands at once in a pool; what each said.
type Pool = Box<dyn Fn(usize) -> Vec<Result<String, Error>>>;

/// Makes a pool of a kind from what is said of connections.
type Make = fn(&Place) -> Pool;

/// Where to connect to, as whom, and the file that knows the host.
struct Place {
    address: SocketAddr,
    user: String,
    key: PathBuf,
    known_hosts: PathBuf,
}

impl Place {
    fn of(server: &Sshd) -> Self {
        Self {
            address: server.addr(),
            user: server.user().to_owned(),
            key: server.identity(),
            known_hosts: server.dir().join("known_hosts_of_test"),
        }
    }

    /// Only these keys are known.
    fn know(&self, keys: &[&str]) {
        let name = format!("[{}]:{}", self.address.ip(), self.address.port());
        let line = |key: &&str| format!("{name} {key}\n");
        fs::write(&self.known_hosts, keys.iter().map(line).collect::<String>()).expect("written");
    }

    fn known(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.known_hosts).expect("readable");
        text.lines().map(str::to_owned).collect()
    }

    fn configure<T: PoolKind>(&self, builder: Builder<T>) -> Builder<T> {
        builder
            .port(self.address.port())
            .private_key(&self.key, None)
            .known_hosts([&self.known_hosts])
            .host_keys(HostKeyPolicy::Strict)
            .update_host_keys(true)
            .max_connections(4)
    }
}

fn sync<L: Library>(place: &Place) -> Pool {
    let host = place.address.ip().to_string();
    let pool = place.configure(ConnectionPool::<L>::builder(host, &place.user));
    let pool = pool.build().expect("valid");
    Box::new(move |count| {
        thread::scope(|scope| {
            let run =
                || pool.execute("sleep 0.2; echo works").map(|output| output.stdout_lossy().into());
            let running: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
            running.into_iter().map(|one| one.join().expect("no panic")).collect()
        })
    })
}

#[cfg(feature = "russh")]
fn tasks(place: &Place) -> Pool {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let host = place.address.ip().to_string();
    let pool = place.configure(hussh::AsyncConnectionPool::builder(host, &place.user));
    let pool = runtime.block_on(async { pool.build() }).expect("valid");
    Box::new(move |count| {
        runtime.block_on(async {
            let run = |pool: hussh::AsyncConnectionPool| async move {
                let output = pool.execute("sleep 0.2; echo works").await?;
                Ok(output.stdout_lossy().into())
            };
            let running: Vec<_> = (0..count).map(|_| tokio::spawn(run(pool.clone()))).collect();
            let mut said = Vec::new();
            for one in running {
                said.push(one.await.expect("no panic"));
            }
            said
        })
    })
}

fn works(pool: &Pool, count: usize) {
    for said in pool(count) {
        assert_eq!(said.expect("it works"), "works\n");
    }
}

/// The same, once the pool dials again: for a while behind a refusal it tells of that instead, so
/// that no server is asked over and over (`breaker_delay`).
fn works_again(pool: &Pool, count: usize) {
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(error) = pool(1).remove(0) {
        assert!(Instant::now() < end, "{error}");
        thread::sleep(Duration::from_millis(20));
    }
    works(pool, count);
}

/// The one problem that a host key was refused for.
fn refused(pool: &Pool) -> HostKeyProblem {
    match pool(1).remove(0) {
        Err(Error::Ssh(SshError::HostKey(refused))) => refused.problem,
        other => panic!("not refused for its key: {other:?}"),
    }
}

fn key(line: &str) -> String {
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// The server has both keys for a while, then the new one only.
fn an_announced_key_takes_the_old_ones_place(make: Make, learns: bool) {
    let kinds = [KeyKind::Ed25519, KeyKind::EcdsaP256];
    let mut server = Sshd::builder().host_keys(kinds).start().expect("sshd");
    let keys: Vec<String> = server.host_public_keys().iter().map(|line| key(line)).collect();
    let place = Place::of(&server);
    place.know(&[&keys[0]]);
    let pool = make(&place);
    works(&pool, 1);
    if learns {
        let end = Instant::now() + Duration::from_secs(10);
        while place.known().len() < 2 {
            assert!(Instant::now() < end, "the second key is recorded: {:?}", place.known());
            thread::sleep(Duration::from_millis(5));
        }
        assert!(place.known()[1].ends_with(&keys[1]), "{:?}", place.known());
    }
    server.retire_first_host_key().expect("restarted");
    if !learns {
        // Over libssh2 somebody else has to tell.
        let HostKeyProblem::Changed { known, .. } = refused(&pool) else { panic!("changed") };
        assert!(!known.to_string().is_empty());
        place.know(&[&keys[0], &keys[1]]);
    }
    works_again(&pool, 4);
}

/// Two servers with a key each, of which each connection meets another.
fn two_servers_behind_one_address_are_both_believed(make: Make) {
    let servers = [Sshd::start().expect("sshd"), Sshd::start().expect("sshd")];
    let public = fs::read_to_string(servers[0].identity().with_extension("pub"));
    servers[1].authorize(public.expect("a public key").trim()).expect("authorized");
    let address = turn_by_turn([servers[0].addr(), servers[1].addr()]).expect("a relay");
    let place = Place { address, ..Place::of(&servers[0]) };
    let keys = servers.each_ref().map(|server| key(server.host_public_key()));
    place.know(&[&keys[0], &keys[1]]);
    let before = place.known();
    let pool = make(&place);
    for _ in 0..3 {
        works(&pool, 4);
    }
    for server in &servers {
        assert!(server.authentications() > 0, "both were met");
    }
    assert_eq!(place.known(), before, "what one says of its keys takes nothing from the other");
    // A third one, which nobody knows, is refused as before.
    place.know(&[&keys[0]]);
    let fresh = make(&place);
    let said = fresh(4);
    assert!(said.iter().any(Result::is_err), "{said:?}");
}

/// Connects clients to one and the other, in turns.
fn turn_by_turn(servers: [SocketAddr; 2]) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for server in servers.into_iter().cycle() {
            let Ok((client, _)) = listener.accept() else { return };
            let Ok(server) = TcpStream::connect(server) else { continue };
            let twins = (client.try_clone(), server.try_clone());
            let (Ok(client_twin), Ok(server_twin)) = twins else { return };
            thread::spawn(move || relay(client, server));
            thread::spawn(move || relay(server_twin, client_twin));
        }
    });
    Ok(address)
}

fn relay(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn a_reprovisioned_host_is_refused_until_the_file_is_mended(make: Make) {
    let mut server = Sshd::start().expect("sshd");
    let place = Place::of(&server);
    place.know(&[&key(server.host_public_key())]);
    let pool = make(&place);
    works(&pool, 2);
    server.change_host_key().expect("restarted");
    let logins = server.authentications();
    for _ in 0..2 {
        let problem = refused(&pool);
        assert!(matches!(problem, HostKeyProblem::Changed { line: 1, .. }), "{problem:?}");
    }
    assert_eq!(server.authentications(), logins, "no credential was sent");
    mend(&place.known_hosts, &key(server.host_public_key()));
    works_again(&pool, 4);
}

/// As `ssh-keygen -R` and a new line do: another file takes the place of the old.
fn mend(file: &Path, key: &str) {
    let known = fs::read_to_string(file).expect("readable");
    let name = known.split(' ').next().expect("a name").to_owned();
    let new = file.with_extension("new");
    fs::write(&new, format!("{name} {key}\n")).expect("written");
    fs::rename(&new, file).expect("renamed");
}

macro_rules! for_each_pool {
    ($($module:ident, $feature:literal, $make:expr, $learns:literal;)*) => {$(
        #[cfg(feature = $feature)]
        mod $module {
            #[test]
            fn an_announced_key_takes_the_old_ones_place() {
                super::an_announced_key_takes_the_old_ones_place($make, $learns);
            }

            #[test]
            fn two_servers_behind_one_address_are_both_believed() {
                super::two_servers_behind_one_address_are_both_believed($make);
            }

            #[test]
            fn a_reprovisioned_host_is_refused_until_the_file_is_mended() {
                super::a_reprovisioned_host_is_refused_until_the_file_is_mended($make);
            }
        }
    )*};
}

for_each_pool! {
    over_libssh2, "ssh2", super::sync::<hussh::sync::Libssh2>, false;
    over_russh, "russh", super::sync::<hussh::sync::Russh>, true;
    tasks_over_russh, "russh", super::tasks, true;
}
