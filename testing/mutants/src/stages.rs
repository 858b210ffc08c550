//! Which tests are run with a mutant, and in which order.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::compile::Program;
use crate::results::Verdict;
use crate::run::{End, program, run};

/// What every run may take beyond its share of time.
const SPARE: Duration = Duration::from_secs(4);

/// So many times what it takes without a mutant a run may take with one.
const SHARE: u32 = 5;

/// A test that takes longer than this is run after those that don't.
const QUICK: Duration = Duration::from_millis(700);

/// A test that hangs without a mutant.
const ENDLESS: Duration = Duration::from_secs(300);

/// Tests of one program.
#[derive(Debug, Clone)]
pub struct Stage {
    program: Program,
    tests: Vec<String>,
    /// The models' steps.
    steps: Option<usize>,
    /// What it takes without a mutant.
    time: Duration,
    /// The mutants that it met.
    reached: HashSet<usize>,
}

/// All that is run.
#[derive(Debug)]
pub struct Stages {
    list: Vec<Stage>,
    /// Where the tests run.
    folder: PathBuf,
}

impl Stages {
    /// Runs all tests without a mutant. Those that take longer than `most` are left out; the models
    /// run with each of these numbers of steps.
    pub fn measure(
        programs: &[Program],
        folder: PathBuf,
        trace: &Path,
        most: Duration,
        steps: &[usize],
    ) -> Result<Self> {
        let mut list = Vec::new();
        for program in programs {
            let mut groups: [Vec<String>; 3] = Default::default();
            for (test, time) in times(program, &folder)? {
                match (test.starts_with("machine::"), time) {
                    (true, _) => groups[0].push(test),
                    (_, time) if time <= QUICK.min(most) => groups[1].push(test),
                    (_, time) if time <= most => groups[2].push(test),
                    (_, time) => {
                        println!("left out: {test}, {:.1} s", time.as_secs_f64());
                    }
                }
            }
            let [models, quick, slow] = groups;
            let models = steps.iter().map(|&steps| (models.clone(), Some(steps)));
            for (tests, steps) in models.chain([(quick, None), (slow, None)]) {
                list.extend(Stage::measure(program, tests, steps, &folder, trace)?);
            }
        }
        list.sort_by_key(|stage| stage.time);
        Ok(Self { list, folder })
    }

    /// The same with other builds of the programs.
    pub fn with(&self, programs: &[Program]) -> Self {
        let mut list = self.list.clone();
        for stage in &mut list {
            let same = programs.iter().find(|program| program.name == stage.program.name);
            stage.program = same.unwrap_or(&stage.program).clone();
        }
        Self { list, folder: self.folder.clone() }
    }

    /// The verdict on a mutant, and what it is based on. Mutant 0 is one that is built in.
    pub fn judge(&self, mutant: usize) -> Result<(Verdict, String)> {
        let reach = |stage: &&Stage| mutant == 0 || stage.reached.contains(&mutant);
        let mut any = false;
        for stage in self.list.iter().filter(reach) {
            any = true;
            let command = stage.command(&self.folder, mutant);
            let name = &stage.program.name;
            match run(command, stage.time * SHARE + SPARE, |_| {})? {
                End::Passed => {}
                End::Failed(test) => return Ok((Verdict::Caught, format!("{name}: {test}"))),
                End::Hung => return Ok((Verdict::Timeout, name.clone())),
            }
        }
        Ok((Verdict::Missed, if any { "" } else { "no test gets there" }.to_owned()))
    }
}

impl Stage {
    fn measure(
        program: &Program,
        tests: Vec<String>,
        steps: Option<usize>,
        folder: &Path,
        trace: &Path,
    ) -> Result<Option<Self>> {
        if tests.is_empty() {
            return Ok(None);
        }
        let (time, reached) = (Duration::ZERO, HashSet::new());
        let mut stage = Self { program: program.clone(), tests, steps, time, reached };
        let _ = std::fs::remove_file(trace);
        let mut command = stage.command(folder, 0);
        command.env("POOL_TRACE", trace);
        let start = Instant::now();
        let end = run(command, ENDLESS, |_| {})?;
        stage.time = start.elapsed();
        if end != End::Passed {
            bail!("{}: {end:?} with no mutant on", program.name);
        }
        let text = std::fs::read_to_string(trace).unwrap_or_default();
        stage.reached = text.lines().filter_map(|line| line.parse().ok()).collect();
        let (name, tests, met) = (&program.name, stage.tests.len(), stage.reached.len());
        println!("{name}: {tests} tests, {:.2} s, {met} mutants", stage.time.as_secs_f64());
        Ok((met > 0).then_some(stage))
    }

    fn command(&self, folder: &Path, mutant: usize) -> std::process::Command {
        let mut command = program(&self.program.path, folder);
        command.arg("--exact").args(&self.tests).env("POOL_MUTANT", mutant.to_string());
        if let Some(steps) = self.steps {
            command.env("POOL_STEPS", steps.to_string());
        }
        command
    }
}

/// What each test of a program takes, one after another.
fn times(test: &Program, folder: &Path) -> Result<Vec<(String, Duration)>> {
    let mut command = program(&test.path, folder);
    command.args(["--test-threads", "1"]).env("POOL_STEPS", "1000");
    let mut times = Vec::new();
    let mut start = Instant::now();
    let end = run(command, ENDLESS, |name| {
        times.push((name.to_owned(), start.elapsed()));
        start = Instant::now();
    })?;
    if end != End::Passed {
        bail!("{}: {end:?} with no mutant on", test.name);
    }
    Ok(times)
}
