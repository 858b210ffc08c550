use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::{Dialling, GATES, LONGEST_PAUSE};
use crate::{Options, SshError, Target};

/// Each test dials a host of its own.
fn options(host: &str, limit: usize) -> Options {
    let target = Target::new(host, 22, "user").expect("a target");
    Options { max_startups: limit, ..Options::new(target) }
}

fn busy(options: &Options) -> Result<(), SshError> {
    Err(SshError::Busy { target: options.target.clone(), said: String::new() })
}

fn is_known(host: &str) -> bool {
    let gates = GATES.lock().expect("no panic");
    gates.as_ref().is_some_and(|gates| gates.gates.keys().any(|address| address.host == host))
}

#[test]
fn dials_of_all_to_one_address_pass_one_gate_in_the_order_they_came() {
    let context = &mut Context::from_waker(Waker::noop());
    let (small, upper) = (options("one.example", 2), options("ONE.example", 2));
    let dials = [&small, &upper, &small, &small].map(|options| Dialling::new(options, None));
    let [mut a, mut b, mut c, mut d] = dials.each_ref().map(Dialling::enter);
    let (Poll::Ready(first), Poll::Ready(second)) =
        (pin!(&mut a).poll(context), pin!(&mut b).poll(context))
    else {
        panic!("there is room")
    };
    assert!(pin!(&mut d).poll(context).is_pending());
    assert!(pin!(&mut c).poll(context).is_pending());
    drop(first);
    assert!(pin!(&mut d).poll(context).is_pending(), "c came first");
    assert!(pin!(&mut c).poll(context).is_ready());
    second.leave(&Ok(()));
    assert!(pin!(&mut d).poll(context).is_ready());
    drop((a, b, c, d));
    drop(dials);
    assert!(!is_known("one.example"), "nobody dials it");
}

#[test]
fn one_that_is_given_up_lets_the_next_in_though_it_was_let_in_itself() {
    let context = &mut Context::from_waker(Waker::noop());
    let options = options("given-up.example", 1);
    let dials = [(); 3].map(|()| Dialling::new(&options, None));
    let [mut a, mut b, mut c] = dials.each_ref().map(Dialling::enter);
    let Poll::Ready(first) = pin!(&mut a).poll(context) else { panic!("there is room") };
    assert!(pin!(&mut b).poll(context).is_pending());
    assert!(pin!(&mut c).poll(context).is_pending());
    drop(first);
    // It is let in, and never looks.
    drop(b);
    assert!(pin!(&mut c).poll(context).is_ready());
}

#[test]
fn one_that_a_busy_server_turned_away_comes_again_before_those_behind_it() {
    let context = &mut Context::from_waker(Waker::noop());
    let options = options("busy.example", 1);
    let dials = [(); 2].map(|()| Dialling::new(&options, None));
    let [mut a, mut b] = dials.each_ref().map(Dialling::enter);
    let Poll::Ready(first) = pin!(&mut a).poll(context) else { panic!("there is room") };
    assert!(pin!(&mut b).poll(context).is_pending());
    let mut again = dials[0].enter();
    assert!(pin!(&mut again).poll(context).is_pending());
    first.leave(&busy(&options));
    assert!(pin!(&mut b).poll(context).is_pending());
    assert!(pin!(&mut again).poll(context).is_ready());
}

#[test]
fn addresses_behind_jump_hosts_are_others() {
    let context = &mut Context::from_waker(Waker::noop());
    let options = options("inner.example", 1);
    let hop = Target::new("jump.example", 22, "user").expect("a target");
    let (straight, through) = (Dialling::new(&options, None), Dialling::new(&options, Some(&hop)));
    assert!(!Arc::ptr_eq(&straight.gate, &through.gate));
    let Poll::Ready(_first) = pin!(straight.enter()).poll(context) else { panic!("room") };
    assert!(pin!(through.enter()).poll(context).is_ready());
}

#[test]
fn pauses_grow_and_differ_and_have_an_end() {
    let options = options("pauses.example", 1);
    let dials = [(); 2].map(|()| Dialling::new(&options, None));
    assert_ne!(dials[0].pause(3), dials[1].pause(3));
    for attempts in [0, 1, 5, 31, u32::MAX] {
        let pause = dials[0].pause(attempts);
        assert!((Duration::from_millis(25)..=LONGEST_PAUSE).contains(&pause), "{pause:?}");
    }
}
