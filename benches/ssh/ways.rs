//! Ways to run the same command many times.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hussh::sync::{Connection, ConnectionPool, Library, Libssh2, Russh};
use hussh::{AsyncConnection, AsyncConnectionPool};
use tokio::runtime::Runtime;

use super::place::Place;
use super::{COMMAND, raw};

/// How many commands run side by side where a way runs several.
pub const ASIDE: u32 = 5;

/// A way to run commands, with all it holds.
pub struct Way {
    /// What is done for each command.
    pub name: &'static str,
    /// The library below.
    pub library: &'static str,
    run: Box<dyn FnMut(u32) -> Duration>,
}

impl Way {
    pub(super) fn new(
        name: &'static str,
        library: &'static str,
        run: impl FnMut(u32) -> Duration + 'static,
    ) -> Self {
        Self { name, library, run: Box::new(run) }
    }

    /// Runs that many commands, and says how long they took in all.
    pub fn run(&mut self, commands: u32) -> Duration {
        (self.run)(commands)
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over {}", self.name, self.library)
    }
}

/// All ways of ours to a place, and the raw libraries with a session held open by hand.
pub fn ways(place: &Rc<Place>, runtime: &Arc<Runtime>) -> Vec<Way> {
    let mut all = Vec::new();
    sync_ways::<Libssh2>("ssh2", place, &mut all);
    sync_ways::<Russh>("russh, blocking", place, &mut all);
    async_ways(place, runtime, &mut all);
    all.push(raw::ssh2(place));
    all.push(raw::russh(place, runtime));
    all
}

fn timed(commands: u32, mut once: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..commands {
        once();
    }
    start.elapsed()
}

fn sync_ways<L: Library>(library: &'static str, place: &Rc<Place>, all: &mut Vec<Way>) {
    let here = Rc::clone(place);
    all.push(Way::new("fresh", library, move |commands| {
        timed(commands, || {
            here.shake_hands();
            let connection = here.builder::<Connection<L>>().connect().expect("a connection");
            assert!(connection.execute(COMMAND).expect("output").success());
        })
    }));
    let connection = place.builder::<Connection<L>>().connect().expect("a connection");
    all.push(Way::new("held", library, move |commands| {
        timed(commands, || assert!(connection.execute(COMMAND).expect("output").success()))
    }));
    let pool = place.builder::<ConnectionPool<L>>().build().expect("valid");
    all.push(Way::new("pool", library, move |commands| {
        timed(commands, || assert!(pool.execute(COMMAND).expect("output").success()))
    }));
    let channels = ASIDE as usize;
    let pool =
        place.builder::<ConnectionPool<L>>().max_connections(1).channels_per_connection(channels);
    let pool = pool.build().expect("valid");
    all.push(Way::new("pool, 5 channels", library, move |commands| {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..ASIDE {
                scope.spawn(|| {
                    timed(commands / ASIDE, || {
                        assert!(pool.execute(COMMAND).expect("output").success());
                    })
                });
            }
        });
        start.elapsed()
    }));
}

fn async_ways(place: &Rc<Place>, runtime: &Arc<Runtime>, all: &mut Vec<Way>) {
    const LIBRARY: &str = "russh";
    let (here, on) = (Rc::clone(place), Arc::clone(runtime));
    all.push(Way::new("fresh", LIBRARY, move |commands| {
        timed(commands, || {
            here.shake_hands();
            on.block_on(async {
                let connection =
                    here.builder::<AsyncConnection>().connect().await.expect("a connection");
                assert!(connection.execute(COMMAND).await.expect("output").success());
            });
        })
    }));
    let connecting = place.builder::<AsyncConnection>().connect();
    let connection = runtime.block_on(connecting).expect("a connection");
    let on = Arc::clone(runtime);
    all.push(Way::new("held", LIBRARY, move |commands| {
        on.block_on(async {
            let start = Instant::now();
            for _ in 0..commands {
                assert!(connection.execute(COMMAND).await.expect("output").success());
            }
            start.elapsed()
        })
    }));
    let pool = place.builder::<AsyncConnectionPool>().build().expect("valid");
    let on = Arc::clone(runtime);
    all.push(Way::new("pool", LIBRARY, move |commands| {
        on.block_on(async {
            let start = Instant::now();
            for _ in 0..commands {
                assert!(pool.execute(COMMAND).await.expect("output").success());
            }
            start.elapsed()
        })
    }));
    let pool = place
        .builder::<AsyncConnectionPool>()
        .max_connections(1)
        .channels_per_connection(ASIDE as usize);
    let pool = pool.build().expect("valid");
    let on = Arc::clone(runtime);
    all.push(Way::new("pool, 5 channels", LIBRARY, move |commands| {
        on.block_on(async {
            let start = Instant::now();
            let tasks = (0..ASIDE).map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    for _ in 0..commands / ASIDE {
                        assert!(pool.execute(COMMAND).await.expect("output").success());
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("no panic");
            }
            start.elapsed()
        })
    }));
}
