//! What connections, pools and jump hosts are made with: one builder for all of them.

mod connection;
mod fleet;
mod hosts;
mod jump;
mod pool;
mod start;

use std::fmt;
use std::marker::PhantomData;

use ssh_session::{Auth, Options, SshConfig, SshError, Target};

use crate::Error;
pub(crate) use fleet::MadeFleet;
pub use fleet::{FleetKind, Host, OneOfMany};
pub(crate) use hosts::Hosts;
pub use hosts::KeyedKind;
pub(crate) use hosts::MadeForHosts;
pub use jump::{JumpHost, OnTheWay};
pub use pool::PoolKind;
use pool::PoolOptions;
pub(crate) use pool::{Made, sealed::Sealed};
pub(crate) use start::starts;

/// Makes a [`Connection`](crate::Connection), a [`ConnectionPool`](crate::ConnectionPool), their
/// async twins or a [`JumpHost`]: whatever `T` is. What connections can be told, all of them can;
/// pools have setters of their own besides ([`max_connections`](Self::max_connections) and those
/// behind it).
///
/// A value that makes no sense is an error of `connect` or `build`, which names its setter.
#[must_use = "a builder does nothing until `connect` or `build`"]
pub struct Builder<T> {
    /// The first error ends it.
    options: Result<Options, SshError>,
    /// The way there is the caller's own, and no longer that of `ssh_config`.
    has_route: bool,
    /// The caller has said how often to ask for a sign of life: pools and connections differ in
    /// what they do otherwise.
    has_keepalive: bool,
    pool: PoolOptions,
    made: PhantomData<fn() -> T>,
}

impl<T> Builder<T> {
    /// Starts with a host's name or address and the user to log in as.
    pub(crate) fn of(host: impl Into<String>, username: impl Into<String>) -> Self {
        Self::over(Target::new(host, 22, username).map(Options::new))
    }

    /// Starts with what a configuration says about a host and the way there.
    pub(crate) fn configured(alias: &str, config: &SshConfig) -> Result<Self, Error> {
        Ok(Self::over(Ok(Options::from_ssh_config(alias, config)?)))
    }

    fn over(options: Result<Options, SshError>) -> Self {
        let pool = PoolOptions::default();
        Self { options, has_route: false, has_keepalive: false, pool, made: PhantomData }
    }

    /// The same settings for something else: a pool that is made as a connection is, say. What only
    /// pools can be told is kept for them.
    pub fn to<U>(self) -> Builder<U> {
        let Self { options, has_route, has_keepalive, pool, .. } = self;
        Builder { options, has_route, has_keepalive, pool, made: PhantomData }
    }

    /// What sessions are opened with, checked.
    pub(crate) fn options(self) -> Result<Options, SshError> {
        let options = self.unchecked()?;
        options.validate()?;
        Ok(options)
    }

    /// Without any way to log in, the agent and the default keys are tried.
    fn unchecked(self) -> Result<Options, SshError> {
        let mut options = self.options?;
        if options.auth.is_empty() {
            options.auth.push(Auth::Auto);
        }
        Ok(options)
    }

    fn set(self, set: impl FnOnce(&mut Options)) -> Self {
        self.try_set(|options| {
            set(options);
            Ok(())
        })
    }

    fn try_set(mut self, set: impl FnOnce(&mut Options) -> Result<(), SshError>) -> Self {
        if let Ok(options) = &mut self.options
            && let Err(error) = set(options)
        {
            self.options = Err(error);
        }
        self
    }
}

impl<T> Clone for Builder<T> {
    fn clone(&self) -> Self {
        let Self { options, has_route, has_keepalive, pool, made } = self;
        let (options, pool) = (options.clone(), pool.clone());
        Self { options, has_route: *has_route, has_keepalive: *has_keepalive, pool, made: *made }
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ssh_session::{Auth, Options, Route, SshConfig};

    use super::{Builder, JumpHost};
    use crate::ConnectionPool;

    fn second() -> Duration {
        Duration::from_secs(1)
    }

    fn configured(text: &str) -> Builder<ConnectionPool> {
        let config = SshConfig::parse(text, "/config").expect("a configuration");
        Builder::configured("web", &config).expect("usable")
    }

    fn hosts(options: &Options) -> Vec<&str> {
        let Route::Jump(hops) = &options.route else { return Vec::new() };
        hops.iter().map(|hop| hop.target.host()).collect()
    }

    #[test]
    fn a_pool_asks_for_signs_of_life_unless_the_caller_or_ssh_config_says_otherwise() {
        let interval = |builder: Builder<ConnectionPool>| {
            let made = builder.made().expect("valid");
            assert_eq!(made.config.watch_interval(), made.options.keepalive.interval);
            assert_eq!(made.config.keepalive_interval(), None, "sessions ask by themselves");
            made.options.keepalive.interval
        };
        let plain = || Builder::<ConnectionPool>::of("h", "u");
        assert_eq!(interval(plain()), Some(30 * second()));
        assert_eq!(interval(plain().keepalive_interval(second())), Some(second()));
        assert_eq!(interval(plain().keepalive_interval(None)), None);
        assert_eq!(interval(configured("ServerAliveInterval 7")), Some(7 * second()));
        assert_eq!(interval(configured("ServerAliveCountMax 2")), Some(30 * second()));
        let held = Builder::<()>::of("h", "u");
        assert_eq!(held.clone().options().expect("valid").keepalive.interval, None);
        assert_eq!(interval(held.to()), Some(30 * second()), "a pool as any other");
        let counted = plain().keepalive_count_max(5).keepalive_interval(second());
        assert_eq!(counted.options().expect("valid").keepalive.count_max, 5);
    }

    #[test]
    fn hops_of_the_callers_take_the_place_of_the_configurations() {
        let two = "Host web\n ProxyJump one,two\n";
        assert_eq!(hosts(&configured(two).options().expect("valid")), ["one", "two"]);
        let hop = |host: &str| JumpHost::new(host, "u").password("p");
        let own = configured(two).jump(hop("a")).jump(hop("b"));
        assert_eq!(hosts(&own.options().expect("valid")), ["a", "b"]);
        let far = configured("Host web\n").jump(hop("b").jump(hop("a")));
        assert_eq!(hosts(&far.options().expect("valid")), ["a", "b"], "through its own hops");
        let last = configured(two).jump(hop("a")).proxy_command("nc %h %p").jump(hop("b"));
        assert_eq!(hosts(&last.options().expect("valid")), ["b"], "the last word counts");
    }

    #[test]
    fn the_first_thing_that_makes_no_sense_is_told_however_many_come_behind_it() {
        let error = Builder::<()>::of("h", "u").port(0).proxy_command("nc %x").port(22);
        let error = error.options().expect_err("no port").to_string();
        assert!(error.contains("port"), "{error}");
        let hop = JumpHost::new("", "u");
        let error = Builder::<()>::of("h", "u").jump(hop).options().expect_err("no host");
        assert!(error.to_string().contains("host"), "{error}");
    }

    #[test]
    fn without_a_way_to_log_in_the_agent_and_the_default_keys_are_tried() {
        let options = Builder::<()>::of("h", "u").options().expect("valid");
        assert!(matches!(options.auth.as_slice(), [Auth::Auto]), "{:?}", options.auth);
        let options = Builder::<()>::of("h", "u").agent().options().expect("valid");
        assert!(matches!(options.auth.as_slice(), [Auth::Agent]), "{:?}", options.auth);
    }
}
