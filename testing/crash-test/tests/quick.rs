//! Every scenario, quick, in every way to use the product. Needs root.

use std::thread;

use crash_test::api::Api;
use crash_test::scenarios::SCENARIOS;
use crash_test::stage::Setup;

fn play(name: &str) {
    let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a scenario");
    let setup = Setup { quick: true, program: env!("CARGO_BIN_EXE_crash-test").into() };
    let playing = Api::ALL.map(|api| {
        let setup = setup.clone();
        thread::spawn(move || scenario.play(api, &setup))
    });
    let reports = playing.map(|played| played.join().expect("no panic"));
    let failures: Vec<_> = reports
        .iter()
        .filter_map(|report| Some(format!("{}: {}", report.api, report.failure.as_ref()?)))
        .collect();
    assert!(failures.is_empty(), "{}\n{}", scenario.about, failures.join("\n"));
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { play(stringify!($name)); })*

        #[test]
        fn none_is_left_out() {
            let here = [$(stringify!($name)),*];
            let all: Vec<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
            assert_eq!(all, here);
        }
    };
}

scenarios! {
    nat_keepalive
    nat_no_keepalive
    half_open_idle
    black_hole_lent_idle
    black_hole_mid_command
    packets_dropped
    rst_mid_command
    byte_corrupted
    restart_between
    restart_during
    sessions_killed
    max_startups
    silent_server
    network_down
    host_key_changed
    password_changed
    no_descriptors
    clock_leaps
    fork
    pool_closed
    process_exits
    handshake_cut
}
