//! One cell: the right credential, the wrong one, and the wrong one from a crowd.

use anyhow::{Context as _, Result, bail, ensure};
use conformance::suite::ServerKind;
use hussh::{Error, Kind};

use crate::backend::Backend;
use crate::fixture::{Fixture, Side};
use crate::method::Method;
use crate::server::{Counts, Server};

/// A cell that was run.
pub(crate) struct Cell {
    pub(crate) method: Method,
    pub(crate) place: ServerKind,
    pub(crate) backend: Backend,
    /// Refusals counted: right, wrong, wrong from a crowd. None where there is no such login.
    pub(crate) outcome: Result<Option<[usize; 3]>>,
}

impl Cell {
    pub(crate) fn run(
        fixture: &Fixture,
        method: Method,
        place: ServerKind,
        backend: Backend,
    ) -> Self {
        let outcome = match method.missing(place) {
            Some(_) => is_missing(fixture, method, place, backend).map(|()| None),
            None => all(fixture, method, place, backend).map(Some),
        };
        Self { method, place, backend, outcome }
    }

    /// As it stands in the table.
    pub(crate) fn shown(&self) -> String {
        let mark =
            if self.place == ServerKind::Dropbear && self.method.is_key() { "c" } else { "" };
        match &self.outcome {
            Ok(None) => "–".to_owned(),
            Ok(Some(counts)) => counts.map(|count| format!("{count}{mark}")).join(" / "),
            Err(_) => "**FAILED**".to_owned(),
        }
    }

    /// What is not as it must be.
    pub(crate) fn failure(&self) -> Option<String> {
        let (method, backend, place) = (self.method.name(), self.backend.name(), self.place.name());
        let error = self.outcome.as_ref().err()?;
        Some(format!("{method}, {backend} on {place}: {error:#}"))
    }
}

fn all(
    fixture: &Fixture,
    method: Method,
    place: ServerKind,
    backend: Backend,
) -> Result<[usize; 3]> {
    let server = Server::start(fixture, place, method.wants(Side::Wrong))?;
    let wrong = one_is_refused(fixture, method, backend, &server).context("wrong");
    let wrong = wrong.with_context(|| server.log())?;
    let crowd =
        a_crowd_is_refused_once(fixture, method, backend, &server).context("wrong, from a crowd");
    let crowd = crowd.with_context(|| server.log())?;
    let other = method.wants(Side::Right) != method.wants(Side::Wrong);
    let server =
        if other { Server::start(fixture, place, method.wants(Side::Right))? } else { server };
    let right = one_gets_in(fixture, method, backend, &server).context("right");
    Ok([right.with_context(|| server.log())?, wrong, crowd])
}

fn one_gets_in(
    fixture: &Fixture,
    method: Method,
    backend: Backend,
    server: &Server,
) -> Result<usize> {
    let before = server.counts()?;
    backend.log_in(&server.options(method.auth(fixture, Side::Right, server))?)?;
    let counts = server.counts_since(before)?;
    ensure!(counts.accepted == 1 && counts.refusals() == 0, "{counts:?}");
    Ok(counts.refusals())
}

fn one_is_refused(
    fixture: &Fixture,
    method: Method,
    backend: Backend,
    server: &Server,
) -> Result<usize> {
    let before = server.counts()?;
    let options = server.options(method.auth(fixture, Side::Wrong, server))?;
    is_refusal(backend.log_in(&options).map_err(Error::from))?;
    once(method, server.counts_since(before)?)
}

fn a_crowd_is_refused_once(
    fixture: &Fixture,
    method: Method,
    backend: Backend,
    server: &Server,
) -> Result<usize> {
    let before = server.counts()?;
    let options = server.options(method.auth(fixture, Side::Wrong, server))?;
    for told in backend.crowd(&options)? {
        is_refusal(told)?;
    }
    once(method, server.counts_since(before)?)
}

/// Fails without having been refused anything but what the server could not know.
fn is_missing(
    fixture: &Fixture,
    method: Method,
    place: ServerKind,
    backend: Backend,
) -> Result<()> {
    let server = Server::start(fixture, place, method.wants(Side::Right))?;
    let options = server.options(method.auth(fixture, Side::Right, &server))?;
    is_refusal(backend.log_in(&options).map_err(Error::from))?;
    let counts = server.counts()?;
    ensure!(counts.accepted == 0 && counts.words == 0, "{counts:?}");
    Ok(())
}

/// That the server counted one refusal, of the right kind.
fn once(method: Method, counts: Counts) -> Result<usize> {
    let expected = match (method.is_key(), counts.keys) {
        (true, Some(_)) => Counts { keys: Some(1), ..Counts::default() },
        (true, None) => Counts { unauthenticated: 1, keys: None, ..Counts::default() },
        (false, keys) => {
            let keys = keys.map(|_| 0);
            Counts { words: 1, keys, unauthenticated: counts.unauthenticated, accepted: 0 }
        }
    };
    ensure!(counts == expected, "{counts:?}");
    Ok(1)
}

fn is_refusal(result: Result<(), Error>) -> Result<()> {
    match result {
        Err(error) if error.kind() == Some(Kind::AuthenticationFailed) => Ok(()),
        Err(error) => bail!("not a refusal: {error}"),
        Ok(()) => bail!("it got in"),
    }
}

impl Counts {
    fn refusals(self) -> usize {
        self.words + self.keys.unwrap_or(self.unauthenticated)
    }
}
