//! The queue against a server that opens so many channels and frees them late.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{LEFTOVER_RETRIES, RETRY_PAUSES};
use super::{ChannelQueue, Ticket, Turn};

/// How long an answer of the server takes.
const ROUND_TRIP: u64 = 3;

#[derive(Debug, Clone)]
struct Job {
    arrives: u64,
    runs: u64,
    waits: bool,
    /// When it is given up, if it waits that long.
    patience: u64,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Fate {
    Ran,
    Refused,
    GaveUp,
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Arrives(usize),
    GivesUp(usize),
    Asked(usize),
    Answered(usize, bool),
    Ends,
    Frees,
    Looks,
}

/// Plays jobs, in milliseconds. Says what became of each, the order in which those that had been
/// refused asked again, and how often the server was asked.
struct Play {
    jobs: Vec<Job>,
    capacity: usize,
    late: u64,
    queue: ChannelQueue,
    start: Instant,
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    tickets: Vec<Option<Ticket>>,
    in_flight: BTreeSet<usize>,
    fates: Vec<Option<Fate>>,
    taken: usize,
    asks: usize,
    ends: usize,
    now: u64,
}

impl Play {
    fn new(jobs: Vec<Job>, capacity: usize, late: u64) -> Self {
        let count = jobs.len();
        let mut play = Self {
            jobs,
            capacity,
            late,
            queue: ChannelQueue::default(),
            start: Instant::now(),
            events: BTreeMap::new(),
            number: 0,
            tickets: vec![None; count],
            in_flight: BTreeSet::new(),
            fates: vec![None; count],
            taken: 0,
            asks: 0,
            ends: 0,
            now: 0,
        };
        for index in 0..count {
            play.at(play.jobs[index].arrives, Event::Arrives(index));
        }
        play
    }

    fn at(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.events.insert((time, self.number), event);
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn run(&mut self) {
        while let Some(((time, _), event)) = self.events.pop_first() {
            assert!(time < 10_000_000, "it goes on for ever: {:?}", self.queue);
            self.now = time;
            self.take(event);
            self.look();
        }
    }

    fn take(&mut self, event: Event) {
        let now = self.instant();
        match event {
            Event::Arrives(index) => {
                self.tickets[index] = Some(self.queue.arrive(self.jobs[index].waits));
                self.at(self.now + self.jobs[index].patience, Event::GivesUp(index));
            }
            Event::GivesUp(index) => {
                if self.fates[index].is_none() {
                    self.fates[index] = Some(Fate::GaveUp);
                    let ticket = self.tickets[index].expect("it came");
                    self.queue.leave(ticket);
                }
            }
            Event::Asked(index) => {
                let opens = self.taken < self.capacity;
                self.taken += usize::from(opens);
                self.at(self.now + ROUND_TRIP, Event::Answered(index, opens));
            }
            Event::Answered(index, true) => {
                self.in_flight.remove(&index);
                let ticket = self.tickets[index].expect("it came");
                if self.queue.opened(ticket) {
                    self.fates[index] = Some(Fate::Ran);
                    self.at(self.now + self.jobs[index].runs, Event::Ends);
                } else {
                    // Nobody wants it: it is closed.
                    self.at(self.now + self.late, Event::Frees);
                    self.queue.freed(now);
                    self.ends += 1;
                }
            }
            Event::Answered(index, false) => {
                self.in_flight.remove(&index);
                let ticket = self.tickets[index].expect("it came");
                let running = self.queue.running();
                // One that was given up since has no command that could end.
                let wanted = |other: &&usize| self.fates[**other].is_none();
                let in_flight = self.in_flight.iter().filter(wanted).count();
                let stays = self.queue.refused(ticket, 0, now);
                if !stays && self.fates[index].is_none() {
                    if self.jobs[index].waits {
                        assert_eq!((running, in_flight), (0, 0), "others could have made room");
                    }
                    self.fates[index] = Some(Fate::Refused);
                }
            }
            Event::Ends => {
                self.queue.ended(now);
                self.ends += 1;
                self.at(self.now + self.late, Event::Frees);
            }
            Event::Frees => self.taken -= 1,
            Event::Looks => {}
        }
    }

    /// Everybody who waits looks at their turn.
    fn look(&mut self) {
        let now = self.instant();
        for index in 0..self.jobs.len() {
            let Some(ticket) = self.tickets[index] else { continue };
            if self.fates[index].is_some() || self.in_flight.contains(&index) {
                continue;
            }
            match self.queue.turn(ticket, now) {
                Turn::Ask => {
                    if self.queue.is_full() {
                        let waiting = |other: &usize| {
                            self.tickets[*other].is_some()
                                && self.fates[*other].is_none()
                                && !self.in_flight.contains(other)
                        };
                        let earlier = |other: &usize| self.tickets[*other] < self.tickets[index];
                        let overtaken = (0..self.jobs.len()).filter(waiting).find(earlier);
                        assert_eq!(overtaken, None, "{index} asks before it");
                    }
                    self.queue.ask(ticket, now);
                    self.in_flight.insert(index);
                    self.asks += 1;
                    self.at(self.now + ROUND_TRIP, Event::Asked(index));
                }
                Turn::Wait(until) => {
                    if let Some(until) = until {
                        let until = until.saturating_duration_since(self.start);
                        self.at(until.as_millis() as u64, Event::Looks);
                    }
                    assert!(self.queue.retry_at().is_some(), "nobody wakes it");
                }
                Turn::Refused => {
                    assert!(!self.jobs[index].waits, "{index} waits");
                    self.queue.leave(ticket);
                    self.fates[index] = Some(Fate::Refused);
                }
            }
        }
    }
}

fn job(waits: impl Strategy<Value = bool>) -> impl Strategy<Value = Job> {
    (0..300_u64, 0..400_u64, waits, prop_oneof![3 => Just(1_000_000), 1 => 0..500_u64])
        .prop_map(|(arrives, runs, waits, patience)| Job { arrives, runs, waits, patience })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whoever waits runs, or gives up by itself, whatever the server's limit and however late it
    /// frees what was closed; whoever asks where it is full is the first who waits.
    #[test]
    fn all_that_wait_run(
        jobs in prop::collection::vec(job(Just(true)), 1..40),
        capacity in 1..12_usize,
        late in 0..60_u64,
    ) {
        let mut play = Play::new(jobs, capacity, late);
        play.run();
        for (index, fate) in play.fates.iter().enumerate() {
            let patient = play.jobs[index].patience == 1_000_000;
            prop_assert!(*fate == Some(Fate::Ran) || !patient, "{index}: {fate:?}");
        }
        prop_assert_eq!(play.queue.running(), 0);
        prop_assert!(!play.queue.is_full());
        // Each asks once, and again behind each end, a pause for a late one, and each second.
        let seconds = usize::try_from(play.now / 1000).expect("few") + 1;
        let most = play.jobs.len() + play.ends * (1 + RETRY_PAUSES.len()) + 2 * seconds;
        prop_assert!(play.asks <= most, "{} of {most}", play.asks);
    }

    /// Those that don't wait are refused or run at once; nobody who waits is harmed by them.
    #[test]
    fn those_that_do_not_wait_are_told(
        jobs in prop::collection::vec(job(any::<bool>()), 1..40),
        capacity in 1..6_usize,
        late in 0..60_u64,
    ) {
        let mut play = Play::new(jobs, capacity, late);
        play.run();
        for (index, fate) in play.fates.iter().enumerate() {
            let Job { waits, patience, .. } = play.jobs[index];
            prop_assert!(fate.is_some(), "{index} hangs");
            prop_assert!(*fate == Some(Fate::Ran) || patience < 1000 || !waits, "{fate:?}");
        }
    }

    /// A server that opens none refuses all, soon.
    #[test]
    fn a_server_that_opens_none_refuses_all(
        jobs in prop::collection::vec(job(any::<bool>()), 1..20),
    ) {
        let mut play = Play::new(jobs, 0, 0);
        play.run();
        prop_assert!(play.fates.iter().all(|fate| matches!(fate, Some(Fate::Refused | Fate::GaveUp))));
        prop_assert!(play.asks <= 2 * play.jobs.len(), "{} asks", play.asks);
    }
}

#[test]
fn commands_given_up_are_waited_for_a_little() {
    let (mut queue, mut now) = (ChannelQueue::default(), Instant::now());
    queue.freed(now);
    let ticket = queue.arrive(true);
    for _ in 0..RETRY_PAUSES.len() + LEFTOVER_RETRIES {
        assert_eq!(queue.turn(ticket, now), Turn::Ask);
        queue.ask(ticket, now);
        assert!(queue.refused(ticket, 1, now));
        now = queue.retry_at().expect("a time");
    }
    queue.ask(ticket, now);
    assert!(!queue.refused(ticket, 1, now), "it may take for ever");
    assert_eq!(queue.turn(ticket, now), Turn::Refused);
    assert!(!queue.is_full());
}

/// Refused together they have asked once, so the slot that comes free late is theirs.
#[test]
fn a_burst_behind_a_close_is_one_question() {
    let burst = |waits| Job { arrives: 28, runs: 0, waits, patience: 1_000_000 };
    for waits in [true, false] {
        let mut jobs = vec![Job { arrives: 0, runs: 18, waits: true, patience: 1_000_000 }];
        jobs.extend((0..2 * RETRY_PAUSES.len()).map(|_| burst(true)));
        jobs.push(burst(waits));
        let mut play = Play::new(jobs, 1, 60);
        play.run();
        let refused = play.fates.iter().filter(|fate| **fate == Some(Fate::Refused)).count();
        assert_eq!(refused, usize::from(!waits));
    }
}
