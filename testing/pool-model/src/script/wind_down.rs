//! What must be reachable from every state.

use pool_core::core::Operation;

use super::harness::Harness;
use super::violation::Checked;
use super::{End, Patience, Return, Span};

/// More rounds than any script needs to come to rest.
const ROUNDS: usize = 400;

impl Harness {
    /// I15, I20, I35, I14, I5, I39, I40, I25.
    pub(super) fn wind_down(&mut self) -> Checked {
        if !self.closed {
            self.come_to_rest()?;
            self.check_warm()?;
            self.check_min_idle()?;
            self.recover()?;
            self.lend_everything()?;
            self.get_busy()?;
            self.close()?;
        }
        self.drain()
    }

    /// Everything ends well, and every session is given back at once, until nobody waits.
    pub(super) fn come_to_rest(&mut self) -> Checked {
        // Delays that began before the clock was set back last until it is where it was.
        self.now = self.now.max(self.latest);
        self.give_leave()?;
        while !self.looks.is_empty() {
            self.inspected(0, true)?;
        }
        if self.max_size == 0 && !self.closed {
            self.resize(self.setup.max_size)?;
        }
        let stats = self.book.stats;
        // What is open or was given up ends first; then each waiter costs a connect or a check
        // and a return, and perhaps one session that was not good enough.
        let begun = stats.open() + stats.orphans + stats.hung() + self.running.len();
        let most = begun + self.max_size + 3 * stats.waiting + self.warm + self.held.len();
        let mut completions = 0;
        for _ in 0..ROUNDS {
            let mut busy = self.collect()?;
            while !self.held.is_empty() {
                self.release(0, Return::Clean)?;
                (busy, completions) = (true, completions + 1);
            }
            if self.waiters.is_empty() && self.running.is_empty() {
                ensure!(completions <= most, "I15", "{completions} completions of {most}");
                return Ok(());
            }
            self.start_all()?;
            while !self.running.is_empty() {
                self.end_task(0, End::Ok)?;
                (busy, completions) = (true, completions + 1);
            }
            if !busy {
                self.advance("I15")?;
            }
        }
        ensure!(false, "I15", "no rest after {ROUNDS} rounds: {:?}", self.book);
        Ok(())
    }

    /// Gives every waiter whose turn has come its session; whether there was one.
    fn collect(&mut self) -> Checked<bool> {
        let before = self.waiters.len();
        for n in (0..before.min(256)).rev() {
            let decided = self.waiters.get(n).map(|waiter| self.book.place(waiter.id));
            if decided.is_some_and(|place| place != Some(None)) {
                self.take(n as u8)?;
            }
        }
        Ok(self.waiters.len() < before)
    }

    /// Nothing more happens before the next deadline, so there must be one.
    fn advance(&mut self, invariant: &'static str) -> Checked {
        let due = self.core.poll_timeout();
        ensure!(due.is_some(), invariant, "nothing will ever happen: {:?}", self.book);
        self.pass(Span::Due);
        self.tick()
    }

    /// As many are opened as somebody wants to be open.
    fn check_warm(&mut self) -> Checked {
        let wanted = self.warm.min(self.max_size);
        for _ in 0..ROUNDS {
            if self.book.staying() >= wanted || self.gate.permanent {
                return self.warm(0);
            }
            if !self.work()? {
                self.advance("I20")?;
            }
        }
        ensure!(false, "I20", "{wanted} open wanted: {:?}", self.book);
        Ok(())
    }

    /// Starts all tasks and lets them end well; whether there was one.
    fn work(&mut self) -> Checked<bool> {
        self.start_all()?;
        let busy = !self.running.is_empty();
        while !self.running.is_empty() {
            self.end_task(0, End::Ok)?;
        }
        Ok(busy)
    }

    /// Nobody is refused any more: every session carries what it may in the end (I35).
    fn recover(&mut self) -> Checked {
        for _ in 0..ROUNDS {
            if self.limits.is_grown() {
                let most = self.setup.leases();
                let learned = self.core.lease_limit();
                ensure!(learned == most, "I35", "{learned} leases of {most} for ever");
                return Ok(());
            }
            if !self.work()? {
                self.pass(Span::Ahead(self.setup.limit_recovery));
                self.tick()?;
            }
        }
        ensure!(false, "I35", "the limits never recover: {:?}", self.book);
        Ok(())
    }

    fn check_min_idle(&mut self) -> Checked {
        let wanted = self.setup.min_idle.min(self.max_size);
        if wanted == 0 {
            return Ok(());
        }
        // After a permanent error nothing is opened before somebody asks.
        if self.gate.permanent {
            self.lend_everything()?;
        }
        for _ in 0..ROUNDS {
            self.work()?;
            if self.book.stats.idle + self.book.stats.checking >= wanted {
                return Ok(());
            }
            self.tick()?;
            if self.core.has_task(self.now) || self.book.stats.idle >= wanted {
                continue;
            }
            // Those that were asked may have found what was open, which is gone by now.
            match self.gate.permanent && self.core.poll_timeout().is_none() {
                true => self.lend_everything()?,
                false => self.advance("I20")?,
            }
        }
        ensure!(false, "I20", "{wanted} idle wanted: {:?}", self.book);
        Ok(())
    }

    /// Newcomers are refused at once until then.
    fn outlast_breaker(&mut self) -> Checked {
        match self.gate.over_at().filter(|at| *at > self.now) {
            Some(at) => {
                self.now = at;
                self.tick()
            }
            None => Ok(()),
        }
    }

    /// Nothing was leaked: as many leases as the limits say can be out at once.
    fn lend_everything(&mut self) -> Checked {
        self.outlast_breaker()?;
        let capacity = self.max_size * self.setup.leases();
        for _ in 0..ROUNDS {
            while self.held.len() + self.waiters.len() < capacity && self.may_wait() {
                self.acquire(Patience::Endless)?;
            }
            if self.held.len() == capacity {
                while !self.held.is_empty() {
                    self.release(0, Return::Clean)?;
                }
                return Ok(());
            }
            let mut busy = self.collect()?;
            busy |= self.work()?;
            if !busy {
                self.advance("I14")?;
            }
        }
        ensure!(false, "I14", "{} of {capacity} lent: {:?}", self.held.len(), self.book);
        Ok(())
    }

    /// Whether one more borrower may wait.
    fn may_wait(&self) -> bool {
        self.setup.max_waiters.is_none_or(|most| self.book.stats.waiting < most)
    }

    /// Some are served, some wait, and checks, resets and connects are under way.
    fn get_busy(&mut self) -> Checked {
        for _ in 0..self.max_size * self.setup.leases() + 2 {
            if self.may_wait() {
                self.acquire(Patience::Endless)?;
            }
        }
        self.collect()?;
        for _ in 0..self.held.len() / 2 {
            self.release(0, Return::Dirty)?;
        }
        self.start_all()
    }

    /// No operation comes back: what is closed is given up in the end, and what is left waits for
    /// so many closes that hang (I39, I40).
    fn let_all_hang(&mut self) -> Checked {
        self.now = self.now.max(self.latest);
        if self.now.checked_add(self.setup.close_timeout).is_none() {
            return Ok(());
        }
        for _ in 0..ROUNDS {
            self.start_all()?;
            if self.core.poll_timeout().is_none() {
                let hung = self.hung(Operation::Close) >= self.most_hung();
                let over = self.core.is_drained() || hung;
                ensure!(over, "I40", "what hangs keeps the pool open: {:?}", self.book);
                return Ok(());
            }
            self.advance("I40")?;
        }
        ensure!(false, "I40", "closed, and its deadlines never end: {:?}", self.book);
        Ok(())
    }

    /// After `close` and the return of everything nothing is left.
    fn drain(&mut self) -> Checked {
        while !self.looks.is_empty() {
            self.inspected(0, true)?;
        }
        self.collect()?;
        while !self.held.is_empty() {
            self.release(0, Return::Dirty)?;
        }
        self.let_all_hang()?;
        for _ in 0..ROUNDS {
            self.start_all()?;
            if self.running.is_empty() {
                break;
            }
            self.end_task(0, End::Ok)?;
        }
        let owned = self.handles.alive() - self.detached.len();
        ensure!(self.core.is_drained(), "I25", "not drained: {:?}", self.book);
        ensure!(owned == 0, "I25", "{owned} sessions left");
        ensure!(self.waiters.is_empty(), "I13", "{:?} have no outcome", self.waiters);
        let stats = self.book.stats;
        ensure!(stats.hung() == 0, "I19", "{} hang for ever", stats.hung());
        ensure!(stats.orphans == 0, "I25", "{} orphans left", stats.orphans);
        ensure!(self.core.poll_timeout().is_none(), "I30", "a drained pool has a deadline");
        Ok(())
    }
}
