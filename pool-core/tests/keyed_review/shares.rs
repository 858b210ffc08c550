//! Shares of the total, and what things cost, by the books alone in virtual time.

use std::collections::BTreeMap;
use std::panic::Location;
use std::time::{Duration, Instant};

use pool_core::core::{Acquired, LeaseId, Request, Returned, SlotId, Taken, Task, WaiterId};
use pool_core::keyed_core::{CoreMaker, KeyId, KeyedCore};
use pool_core::{Config, KeyedConfig, Machine};

const MILLISECOND: Duration = Duration::from_millis(1);

type Core = KeyedCore<u64, &'static str>;

fn core(max_size: usize, total: usize, turn: Duration) -> Core {
    let per_key = Config::builder()
        .max_size(max_size)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(None)
        .check_after_idle(Duration::MAX)
        .build()
        .unwrap();
    let config = KeyedConfig::new(per_key, total).unwrap().turn(turn);
    KeyedCore::new(config, CoreMaker { share: None, observed: false, describe: None })
}

fn request(now: Instant) -> Request {
    Request { arrived: now, deadline: None, site: Location::caller(), ticket: None }
}

fn drain(core: &mut Core) {
    while core.poll_notice().is_some() {}
}

/// Keys that all want more than there is, each with borrowers that hold a session for a while and
/// come again at once.
struct Town {
    core: Core,
    now: Instant,
    keys: Vec<KeyId>,
    waiting: Vec<(usize, WaiterId, Instant)>,
    held: Vec<(usize, LeaseId, u64, Instant)>,
    running: Vec<(KeyId, SlotId, bool, Instant)>,
    served: Vec<u64>,
    longest: Vec<Duration>,
    born: u64,
}

const HOLD: Duration = Duration::from_millis(10);
const WORK: Duration = Duration::from_millis(4);

impl Town {
    fn new(core: Core, borrowers: &[usize]) -> Self {
        let keys = borrowers.len();
        let mut town = Self {
            core,
            now: Instant::now(),
            keys: Vec::new(),
            waiting: Vec::new(),
            held: Vec::new(),
            running: Vec::new(),
            served: vec![0; keys],
            longest: vec![Duration::ZERO; keys],
            born: 0,
        };
        town.keys = (0..keys).map(|_| town.core.open_key(town.now).unwrap()).collect();
        for (key, borrowers) in borrowers.iter().enumerate() {
            (0..*borrowers).for_each(|_| town.ask(key));
        }
        town
    }

    fn ask(&mut self, key: usize) {
        let (now, id) = (self.now, self.keys[key]);
        match self.core.with_core(id, now, |core| core.acquire(request(now), now)).unwrap() {
            Acquired::Ready(lease) => self.lend(key, lease.id, lease.session, now),
            Acquired::Waiting(waiter) => self.waiting.push((key, waiter, now)),
            Acquired::Refused(refusal) => panic!("{refusal:?}"),
        }
    }

    fn lend(&mut self, key: usize, lease: LeaseId, session: u64, since: Instant) {
        self.served[key] += 1;
        self.longest[key] = self.longest[key].max(self.now - since);
        self.held.push((key, lease, session, self.now));
    }

    fn step(&mut self) {
        self.now += 2 * MILLISECOND;
        let now = self.now;
        self.core.handle_timeout(now);
        let done: Vec<_> = self.running.extract_if(.., |(.., at)| *at + WORK <= now).collect();
        for (key, slot, connect, _) in done {
            self.born += 1;
            let session = self.born;
            self.core.with_core(key, now, |core| match connect {
                true => core.connected(slot, session, now),
                false => core.closed(slot, now),
            });
        }
        let back: Vec<_> = self.held.extract_if(.., |(.., at)| *at + HOLD <= now).collect();
        for (key, lease, session, _) in back {
            let id = self.keys[key];
            self.core.with_core(id, now, |core| {
                core.release(lease, Some(session), Returned::Clean, now)
            });
            self.ask(key);
        }
        for (key, waiter, since) in std::mem::take(&mut self.waiting) {
            match self.core.with_core(self.keys[key], now, |core| core.take(waiter, now)).unwrap() {
                Taken::Ready(lease) => self.lend(key, lease.id, lease.session, since),
                Taken::Pending => self.waiting.push((key, waiter, since)),
                Taken::Refused(refusal) => panic!("{refusal:?}"),
            }
        }
        while let Some((key, task)) = self.core.poll_task(now) {
            let connect = matches!(task, Task::Connect { .. });
            self.running.push((key, task.slot(), connect, now));
        }
        drain(&mut self.core);
        self.core.audit(now).unwrap();
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }
}

#[test]
fn k2_twenty_keys_take_turns_with_four_places() {
    let turn = 100 * MILLISECOND;
    let mut town = Town::new(core(4, 4, turn), &[3; 20]);
    town.run(Duration::from_secs(60));
    let (least, most) = (town.served.iter().min().unwrap(), town.served.iter().max().unwrap());
    assert!(least * 2 >= *most, "leases by key: {:?}", town.served);
    // A round of all keys, and what opening, closing and the last lease take.
    let round = (turn + HOLD + 3 * WORK) * 20 / 4;
    let longest = town.longest.iter().max().unwrap();
    assert!(*longest < 2 * round, "waited {longest:?}, a round is {round:?}");
    let connects = town.born;
    assert!(connects < 60 * 4 * 10 * 2, "{connects} connects in a minute");
}

#[test]
fn k2_a_key_with_many_borrowers_leaves_others_a_session_though_its_borrowers_came_first() {
    let turn = 100 * MILLISECOND;
    let mut town = Town::new(core(8, 8, turn), &[200, 2, 2]);
    town.run(Duration::from_secs(5));
    for key in [1, 2] {
        // One session each serves a hundred a second at best.
        assert!(town.served[key] > 5 * 80, "leases by key: {:?}", town.served);
        assert!(town.longest[key] < 2 * (turn + HOLD + 3 * WORK), "{:?}", town.longest);
    }
}

#[test]
fn k2_equal_shares_settle_and_nothing_more_is_opened() {
    let mut town = Town::new(core(8, 8, 100 * MILLISECOND), &[20, 20]);
    town.run(Duration::from_secs(2));
    let connects = town.born;
    town.run(Duration::from_secs(20));
    let more = town.born - connects;
    assert_eq!(more, 0, "{more} connects in 20 s though both have their share");
    let open = town.keys.iter().map(|key| town.core.core(*key).unwrap().stats().open());
    let open = open.collect::<Vec<_>>();
    assert_eq!(open, [4, 4]);
}

#[test]
fn k1_a_smaller_total_costs_no_more_sessions_than_are_too_many_those_idle_for_longest_first() {
    let (mut core, start) = (core(3, 6, 250 * MILLISECOND), Instant::now());
    let [a, b, c] = [(); 3].map(|()| core.open_key(start).unwrap());
    let stays = |core: &Core| {
        [a, b, c].map(|key| {
            let (stats, core) = (core.core(key).unwrap().stats(), core.core(key).unwrap());
            let retiring = core.phases().filter(|(slot, _)| core.retiring(*slot).is_some());
            stats.idle + stats.lent - retiring.count()
        })
    };
    for (later, key) in [a, b, c, a, a].into_iter().enumerate() {
        core.add(key, 0, start + later as u32 * MILLISECOND).unwrap();
    }
    let now = start + 10 * MILLISECOND;
    core.resize_total(5, now);
    assert_eq!(stays(&core), [3, 1, 1], "none is too many");
    core.resize_total(3, now);
    assert_eq!(stays(&core), [2, 0, 1], "the first of the first key, and that of the second");
    core.resize_total(6, now);
    core.add(a, 0, now).unwrap_err();
    while let Some((key, task)) = core.poll_task(now) {
        core.with_core(key, now, |core| core.closed(task.slot(), now));
    }
    core.add(a, 0, now).unwrap();
    core.add(b, 0, now).unwrap();
    for key in [a, a, a, b, c] {
        core.with_core(key, now, |core| core.acquire_ready(Location::caller(), now))
            .unwrap()
            .unwrap();
    }
    core.resize_total(5, now);
    assert_eq!(stays(&core), [3, 1, 1], "none is too many");
    core.resize_total(3, now);
    assert_eq!(stays(&core), [1, 1, 1], "the key with most gives up its own");
    core.resize_total(2, now);
    assert_eq!(stays(&core).iter().sum::<usize>(), 2);
}

/// How often cores are looked at for so many acquires, releases, connects and ticks, with so many
/// keys known.
fn looks(keys: usize) -> BTreeMap<&'static str, u64> {
    let mut core = core(2, keys + 1, Duration::from_millis(250));
    let mut now = Instant::now();
    let ids: Vec<_> = (0..keys).map(|_| core.open_key(now).unwrap()).collect();
    for id in &ids {
        core.add(*id, 0, now).unwrap();
    }
    while core.poll_task(now).is_some() {}
    drain(&mut core);
    let mut costs = BTreeMap::new();
    let id = ids[keys / 2];
    let mut cost = |name, core: &mut Core, now, work: &dyn Fn(&mut Core, Instant)| {
        let before = core.looks();
        work(core, now);
        costs.insert(name, core.looks() - before);
        drain(core);
    };
    cost("100 acquires and releases", &mut core, now, &|core, now| {
        for _ in 0..100 {
            let site = Location::caller();
            let lease = core.with_core(id, now, |core| core.acquire_ready(site, now));
            let lease = lease.flatten().unwrap();
            core.with_core(id, now, |core| {
                core.release(lease.id, Some(lease.session), Returned::Clean, now)
            });
        }
    });
    cost("a connect", &mut core, now, &|core, now| {
        let (mut leases, mut waiters) = (Vec::new(), 0);
        for _ in 0..2 {
            match core.with_core(id, now, |core| core.acquire(request(now), now)).unwrap() {
                Acquired::Ready(lease) => leases.push(lease),
                Acquired::Waiting(_) => waiters += 1,
                Acquired::Refused(refusal) => panic!("{refusal:?}"),
            }
        }
        assert_eq!((leases.len(), waiters), (1, 1));
        let (key, task) = core.poll_task(now).unwrap();
        assert!(key == id && matches!(task, Task::Connect { .. }), "{task:?}");
        core.with_core(key, now, |core| core.connected(task.slot(), 1, now));
    });
    now += 70 * MILLISECOND;
    cost("a tick with nothing due", &mut core, now, &|core, now| core.handle_timeout(now));
    // All places are taken: one more starves, and others go on all the same.
    let starving = core.open_key(now).unwrap();
    core.with_core(starving, now, |core| core.acquire(request(now), now));
    while core.poll_task(now).is_some() {}
    drain(&mut core);
    cost("100 acquires in vain while one starves", &mut core, now, &|core, now| {
        for _ in 0..100 {
            let request = Request { deadline: Some(now), ..request(now) };
            core.with_core(id, now, |core| core.acquire(request, now));
        }
    });
    costs
}

#[test]
fn k4_costs_are_the_same_with_one_key_and_with_ten_thousand() {
    let (one, many) = (looks(2), looks(10_000));
    assert_eq!(one, many);
    assert_eq!(one["100 acquires and releases"], 200);
    assert_eq!(one["a tick with nothing due"], 0);
}
