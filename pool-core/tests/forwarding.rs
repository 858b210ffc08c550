//! What is around a backend passes everything on, and what a backend leaves out is as documented.

use std::sync::{Arc, Mutex};

use pool_core::{
    AsyncBackend, AsyncHooks, Backend, ErrorKind, Hooked, Hooks, Interrupt, KillSwitch, Moment,
};
use pool_model::FakeError;

/// A session says what it is asked for next ends like this.
const GOOD: bool = true;
const BAD: bool = false;

const FAULT: FakeError = FakeError(ErrorKind::Busy);

/// Overrides every method, writes each call down, and answers as the session says.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn note(&self, what: &str, session: bool) -> Result<(), FakeError> {
        self.0.lock().unwrap().push(format!("{what} {session}"));
        if session { Ok(()) } else { Err(FAULT) }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Backend for Recorder {
    type Session = bool;
    type Error = FakeError;

    fn connect(&self) -> Result<bool, FakeError> {
        self.note("connect", GOOD).map(|()| GOOD)
    }

    fn connect_interruptible(&self, interrupt: &Interrupt) -> Result<bool, FakeError> {
        self.note("connect_interruptible", interrupt.is_interrupted()).map(|()| GOOD)
    }

    fn kill_switch(&self, session: &mut bool) -> Option<KillSwitch> {
        self.note("kill_switch", *session).ok().map(|()| Box::new(|| ()) as _)
    }

    fn is_broken(&self, session: &mut bool) -> bool {
        self.note("is_broken", *session).is_err()
    }

    fn is_broken_at(&self, session: &mut bool, moment: Moment) -> bool {
        self.note(&format!("is_broken_at {moment:?}"), *session).is_err()
    }

    fn check(&self, session: &mut bool) -> Result<(), FakeError> {
        self.note("check", *session)
    }

    fn keepalive(&self, session: &mut bool) -> Result<(), FakeError> {
        self.note("keepalive", *session)
    }

    fn needs_reset(&self, session: &mut bool) -> bool {
        self.note("needs_reset", *session).is_err()
    }

    fn reset(&self, session: &mut bool) -> Result<(), FakeError> {
        self.note("reset", *session)
    }

    fn close(&self, session: bool) {
        let _ = self.note("close", session);
    }

    fn classify(&self, error: &FakeError) -> ErrorKind {
        let _ = self.note("classify", error.0 == ErrorKind::Busy);
        error.0
    }
}

/// The same for tasks.
#[derive(Clone, Default)]
struct AsyncRecorder(Recorder);

impl AsyncBackend for AsyncRecorder {
    type Session = bool;
    type Error = FakeError;

    async fn connect(&self) -> Result<bool, FakeError> {
        Backend::connect(&self.0)
    }

    fn is_broken(&self, session: &mut bool) -> bool {
        Backend::is_broken(&self.0, session)
    }

    fn is_broken_at(&self, session: &mut bool, moment: Moment) -> bool {
        Backend::is_broken_at(&self.0, session, moment)
    }

    async fn check(&self, session: &mut bool) -> Result<(), FakeError> {
        Backend::check(&self.0, session)
    }

    async fn keepalive(&self, session: &mut bool) -> Result<(), FakeError> {
        Backend::keepalive(&self.0, session)
    }

    fn needs_reset(&self, session: &mut bool) -> bool {
        Backend::needs_reset(&self.0, session)
    }

    async fn reset(&self, session: &mut bool) -> Result<(), FakeError> {
        Backend::reset(&self.0, session)
    }

    async fn close(&self, session: bool) {
        Backend::close(&self.0, session);
    }

    fn classify(&self, error: &FakeError) -> ErrorKind {
        Backend::classify(&self.0, error)
    }
}

/// Hooks that do nothing.
struct Nothing;

impl<B: Backend> Hooks<B> for Nothing {}
impl<B: AsyncBackend> AsyncHooks<B> for Nothing {}

/// Every method with a good and a bad session: what it answers.
macro_rules! all_answers {
    ($backend:expr, $($await:tt)*) => {{
        let backend = $backend;
        let mut answers = vec![format!("{:?}", backend.connect()$($await)*)];
        for session in [GOOD, BAD] {
            let session = &mut { session };
            answers.push(format!(
                "{:?}",
                (
                    backend.is_broken(session),
                    backend.is_broken_at(session, Moment::Acquire),
                    backend.is_broken_at(session, Moment::Release),
                    backend.check(session)$($await)*,
                    backend.keepalive(session)$($await)*,
                    backend.needs_reset(session),
                    backend.reset(session)$($await)*,
                    backend.classify(&FAULT),
                    backend.classify(&FakeError(ErrorKind::Permanent)),
                )
            ));
            backend.close(*session)$($await)*;
        }
        answers
    }};
}

/// What only threads have.
fn interruptible(backend: &impl Backend<Session = bool, Error = FakeError>) -> Vec<bool> {
    let mut asked = vec![backend.connect_interruptible(&Interrupt::default()).is_ok()];
    asked.extend([GOOD, BAD].map(|mut session| backend.kill_switch(&mut session).is_some()));
    asked
}

type AnyBackend = Arc<dyn Backend<Session = bool, Error = FakeError>>;
type AnyAsyncBackend = Arc<dyn pool_core::DynAsyncBackend<bool, FakeError>>;

#[test]
fn all_that_surrounds_a_backend_asks_it_and_gives_its_answers() {
    let recorder = Recorder::default();
    let answers = (all_answers!(&recorder,), interruptible(&recorder));
    let calls = recorder.take();
    assert!(calls.len() == 24, "{calls:?}");
    let chosen: AnyBackend = Arc::new(recorder.clone());
    assert_eq!((all_answers!(&chosen,), interruptible(&chosen)), answers);
    assert_eq!(recorder.take(), calls);
    let hooked = Hooked::new(recorder.clone(), Nothing);
    assert_eq!((all_answers!(&hooked,), interruptible(&hooked)), answers);
    assert_eq!(recorder.take(), calls);
}

#[tokio::test]
async fn all_that_surrounds_an_async_backend_asks_it_and_gives_its_answers() {
    let recorder = AsyncRecorder::default();
    let answers = all_answers!(&recorder, .await);
    let calls = recorder.0.take();
    assert!(calls.len() == 21, "{calls:?}");
    let chosen: AnyAsyncBackend = Arc::new(recorder.clone());
    assert_eq!(all_answers!(&chosen, .await), answers);
    assert_eq!(recorder.0.take(), calls);
    let hooked = Hooked::new(recorder.clone(), Nothing);
    assert_eq!(all_answers!(&hooked, .await), answers);
    assert_eq!(recorder.0.take(), calls);
}

/// Has what must be there, and no more.
struct Least(Recorder);

impl Backend for Least {
    type Session = bool;
    type Error = FakeError;

    fn connect(&self) -> Result<bool, FakeError> {
        Backend::connect(&self.0)
    }

    fn is_broken(&self, session: &mut bool) -> bool {
        Backend::is_broken(&self.0, session)
    }

    fn check(&self, session: &mut bool) -> Result<(), FakeError> {
        Backend::check(&self.0, session)
    }
}

/// The same for tasks.
struct AsyncLeast(Recorder);

impl AsyncBackend for AsyncLeast {
    type Session = bool;
    type Error = FakeError;

    async fn connect(&self) -> Result<bool, FakeError> {
        Backend::connect(&self.0)
    }

    fn is_broken(&self, session: &mut bool) -> bool {
        Backend::is_broken(&self.0, session)
    }

    async fn check(&self, session: &mut bool) -> Result<(), FakeError> {
        Backend::check(&self.0, session)
    }
}

/// What `Least` is asked in `all_answers`.
fn least_calls() -> Vec<String> {
    let of = |session| {
        ["is_broken", "is_broken", "is_broken", "check", "check"]
            .map(|it| format!("{it} {session}"))
    };
    [vec!["connect true".to_owned()], of(GOOD).into(), of(BAD).into()].concat()
}

const LEAST_ANSWERS: [&str; 3] = [
    "Ok(true)",
    "(false, false, false, Ok(()), Ok(()), false, Ok(()), Transient, Transient)",
    "(true, true, true, Err(FakeError(Busy)), Err(FakeError(Busy)), false, Ok(()), Transient, Transient)",
];

#[test]
fn what_a_backend_leaves_out_is_as_documented() {
    let backend = Least(Recorder::default());
    assert_eq!(all_answers!(&backend,), LEAST_ANSWERS);
    assert_eq!(backend.0.take(), least_calls());
    assert_eq!(interruptible(&backend), [true, false, false]);
    assert_eq!(backend.0.take(), ["connect true"]);
}

#[tokio::test]
async fn what_an_async_backend_leaves_out_is_as_documented() {
    let backend = AsyncLeast(Recorder::default());
    assert_eq!(all_answers!(&backend, .await), LEAST_ANSWERS);
    assert_eq!(backend.0.take(), least_calls());
}
