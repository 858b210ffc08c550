//! Sessions are shared by equals only: a keyed pool over the real backends.

use pool_core::{Config, KeyedConfig, KeyedPool};
use ssh_session::{
    Auth, Command, Endpoint, HostKeyPolicy, HostKeys, Options, Session as _, Target,
};
use test_servers::sshd::{PasswordUser, Sshd};

fn endpoint(server: &Sshd, user: &PasswordUser, password: &str) -> Endpoint {
    let target = Target::new(server.host(), server.port(), user.name()).expect("a target");
    let options = Options::new(target)
        .auth(Auth::password(password))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny));
    Endpoint::new(options).expect("valid")
}

macro_rules! two_passwords_for_one_user_never_meet_on_one_session {
    ($backend:ty) => {
        let server = Sshd::start().expect("sshd");
        let user = PasswordUser::create().expect("a user; run the tests as root");
        let config = Config::builder().max_size(4).build().expect("valid");
        let config = KeyedConfig::new(config, 8).expect("valid");
        let pools = KeyedPool::new(config, <$backend>::for_endpoint);
        let right = endpoint(&server, &user, user.password());
        for _ in 0..3 {
            let session = pools.get(&right).expect("a session");
            assert!(session.exec(&Command::new("true")).expect("output").success());
        }
        assert_eq!(server.authentications(), 1);
        // A ready session of the same user is there, and must not be lent.
        let wrong = endpoint(&server, &user, "another");
        assert!(pools.get(&wrong).is_err());
        assert_eq!((server.authentications(), server.failed_authentications()), (1, 1));
        let again = endpoint(&server, &user, user.password());
        drop(pools.get(&again).expect("the same session"));
        assert_eq!(server.authentications(), 1);
        assert_eq!(pools.stats().keys, 2);
    };
}

#[cfg(feature = "ssh2")]
#[test]
fn two_passwords_for_one_user_never_meet_on_one_libssh2_session() {
    two_passwords_for_one_user_never_meet_on_one_session!(backend_ssh2::Ssh2Backend);
}

#[cfg(feature = "russh")]
#[test]
fn two_passwords_for_one_user_never_meet_on_one_russh_session() {
    two_passwords_for_one_user_never_meet_on_one_session!(backend_russh::blocking::BlockingBackend);
}
