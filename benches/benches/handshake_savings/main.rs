//! What is saved by not shaking hands: a command with a fresh connection, on a held one, through a
//! pool, and through a pool with several channels on one connection; over both libraries, on the
//! embedded server and on sshd, near and 50 ms away.
//!
//! One way after the other, as criterion does it: to compare a change with itself. The table that
//! compares ways takes them in turn: `cargo run --release -p benches --bin savings`.
#![allow(missing_docs, reason = "criterion's macros write the rest")]

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use benches::load::two_threads;
use benches::ssh::{ASIDE, Kind, Place, ways};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn handshake_savings(criterion: &mut Criterion) {
    let runtime = Arc::new(two_threads());
    for (kind, server) in [(Kind::Embedded, "embedded"), (Kind::Sshd, "sshd")] {
        for away in [0, 50] {
            let place = Place::start(kind, Duration::from_millis(away)).expect("a server");
            let place = Rc::new(place);
            let mut group = criterion.benchmark_group(format!("{server}, {away} ms away"));
            group.sample_size(10);
            for mut way in ways(&place, &runtime) {
                let id = BenchmarkId::new(way.library, way.name);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|commands| {
                        // Those that run several at once want a multiple of that.
                        let commands = u32::try_from(commands).unwrap_or(u32::MAX);
                        let rounded = commands.div_ceil(ASIDE) * ASIDE;
                        way.run(rounded) * commands / rounded
                    });
                });
            }
        }
    }
}

criterion_group!(benches, handshake_savings);
criterion_main!(benches);
