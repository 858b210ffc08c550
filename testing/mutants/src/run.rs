//! Runs test programs with a mutant on, until one fails.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::compile::Program;
use crate::results::Verdict;

/// What every run may take beyond its share of time.
const SPARE: Duration = Duration::from_secs(5);

/// So many times what it takes without a mutant a run may take with one.
const SHARE: u32 = 5;

/// A test program as it is run.
#[derive(Debug, Clone)]
pub struct Stage {
    program: Program,
    /// Only tests whose names contain this.
    filter: Option<&'static str>,
    /// The model's steps, where not as ever.
    steps: Option<usize>,
    /// What it takes without a mutant.
    pub time: Duration,
    /// The mutants that it met.
    reached: HashSet<usize>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All passed.
    Passed,
    /// This failed; empty where the program ended as a whole.
    Failed(String),
    /// Not in time.
    Hung,
}

impl Stage {
    /// The models with few steps first, and with all of theirs last; what takes little before
    /// what takes more.
    pub fn all(programs: &[Program]) -> Vec<Self> {
        let new = |program: &Program, filter, steps| Self {
            program: program.clone(),
            filter,
            steps,
            time: Duration::from_secs(120),
            reached: HashSet::new(),
        };
        let has_model =
            |program: &&Program| ["invariants", "keyed_review"].contains(&&*program.name);
        let quick = programs.iter().filter(has_model);
        let quick = quick.map(|program| new(program, Some("machine::"), Some(1_500)));
        quick.chain(programs.iter().map(|program| new(program, None, None))).collect()
    }

    /// Runs it without a mutant, and notes how long that takes and which mutants it meets.
    pub fn measure(&mut self, root: &Path, trace: &Path) -> Result<()> {
        let start = Instant::now();
        let end = self.run(root, 0, None)?;
        self.time = start.elapsed();
        if end != End::Passed {
            bail!("{}: {end:?} with no mutant on", self.program.name);
        }
        let _ = std::fs::remove_file(trace);
        self.run(root, 0, Some(trace))?;
        let text = std::fs::read_to_string(trace).unwrap_or_default();
        self.reached = text.lines().filter_map(|line| line.parse().ok()).collect();
        let (name, seconds) = (&self.program.name, self.time.as_secs_f64());
        println!("{name}: {seconds:.2} s, meets {} mutants", self.reached.len());
        Ok(())
    }

    /// The same with another build of its program.
    pub fn with(&self, programs: &[Program]) -> Option<Self> {
        let program = programs.iter().find(|program| program.name == self.program.name)?;
        Some(Self { program: program.clone(), ..self.clone() })
    }

    fn run(&self, root: &Path, mutant: usize, trace: Option<&Path>) -> Result<End> {
        let mut command = Command::new(&self.program.path);
        command.args(self.filter).current_dir(root);
        command.env("POOL_MUTANT", mutant.to_string()).env("RUST_BACKTRACE", "0");
        // The first failure is enough.
        command.env("PROPTEST_MAX_SHRINK_ITERS", "0");
        if let Some(steps) = self.steps {
            command.env("POOL_STEPS", steps.to_string());
        }
        if let Some(trace) = trace {
            command.env("POOL_TRACE", trace);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().with_context(|| self.program.path.display().to_string())?;
        watch(child, self.time * SHARE + SPARE)
    }
}

/// Waits for a program's end, or the first of its tests that fails, or the end of its time.
fn watch(mut child: Child, time: Duration) -> Result<End> {
    let deadline = Instant::now() + time;
    let output = child.stdout.take().context("no output")?;
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let end = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(name) = line.strip_suffix(" ... FAILED") {
                    break Some(End::Failed(name.trim_start_matches("test ").to_owned()));
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some(End::Hung),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    if end.is_some()
        && let Ok(id) = i32::try_from(child.id())
        && let Some(group) = Pid::from_raw(id)
    {
        let _ = kill_process_group(group, Signal::KILL);
    }
    drop(lines);
    let status = child.wait()?;
    let _ = reader.join();
    Ok(end.unwrap_or_else(|| match status.success() {
        true => End::Passed,
        false => End::Failed(status.to_string()),
    }))
}

/// The verdict on a mutant, and what it is based on.
pub fn judge(stages: &[Stage], root: &Path, mutant: usize) -> Result<(Verdict, String)> {
    let reaching = stages.iter().filter(|stage| stage.reached.contains(&mutant));
    let mut any = false;
    for stage in reaching {
        any = true;
        match stage.run(root, mutant, None)? {
            End::Passed => {}
            End::Failed(test) => {
                return Ok((Verdict::Caught, format!("{}: {test}", stage.program.name)));
            }
            End::Hung => return Ok((Verdict::Timeout, stage.program.name.clone())),
        }
    }
    Ok((Verdict::Missed, if any { String::new() } else { "no test gets there".to_owned() }))
}

/// The same where the mutant is not switched, but all that there is.
pub fn judge_alone(stages: &[Stage], root: &Path) -> Result<(Verdict, String)> {
    for stage in stages {
        match stage.run(root, 0, None)? {
            End::Passed => {}
            End::Failed(test) => {
                return Ok((Verdict::Caught, format!("{}: {test}", stage.program.name)));
            }
            End::Hung => return Ok((Verdict::Timeout, stage.program.name.clone())),
        }
    }
    Ok((Verdict::Missed, String::new()))
}

/// Measures all, and puts them in order.
pub fn measured(programs: &[Program], root: &Path, trace: &PathBuf) -> Result<Vec<Stage>> {
    let mut stages = Stage::all(programs);
    for stage in &mut stages {
        stage.measure(root, trace)?;
    }
    stages.retain(|stage| !stage.reached.is_empty());
    stages.sort_by_key(|stage| (stage.filter.is_none(), stage.time));
    Ok(stages)
}
