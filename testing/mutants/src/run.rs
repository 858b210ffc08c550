//! Runs test programs with a mutant on, until one fails.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
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
    time: Duration,
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
    fn all(programs: &[Program]) -> Vec<Self> {
        let new = |program: &Program, filter, steps| Self {
            program: program.clone(),
            filter,
            steps,
            time: Duration::ZERO,
            reached: HashSet::new(),
        };
        let has_model =
            |program: &&Program| ["invariants", "keyed_review"].contains(&&*program.name);
        let models: Vec<_> = programs.iter().filter(has_model).collect();
        let models = [1_500, 8_000].into_iter().flat_map(|steps| {
            models.iter().map(move |program| new(program, Some("machine::"), Some(steps)))
        });
        models.chain(programs.iter().map(|program| new(program, None, None))).collect()
    }

    /// Runs it without a mutant, and notes how long that takes and which mutants it meets; false
    /// where it takes longer than `most`.
    fn measure(&mut self, root: &Path, trace: &Path, most: Duration) -> Result<bool> {
        let _ = std::fs::remove_file(trace);
        let start = Instant::now();
        let end = self.run(root, 0, most, Some(trace))?;
        self.time = start.elapsed();
        let (name, seconds) = (&self.program.name, self.time.as_secs_f64());
        match end {
            End::Passed => {}
            End::Hung => {
                println!("{name}: left out, takes more than {seconds:.0} s");
                return Ok(false);
            }
            End::Failed(test) => bail!("{name}: {test} fails with no mutant on"),
        }
        let text = std::fs::read_to_string(trace).unwrap_or_default();
        self.reached = text.lines().filter_map(|line| line.parse().ok()).collect();
        println!("{name}: {seconds:.2} s, meets {} mutants", self.reached.len());
        Ok(true)
    }

    /// The same with another build of its program.
    pub fn with(&self, programs: &[Program]) -> Option<Self> {
        let program = programs.iter().find(|program| program.name == self.program.name)?;
        Some(Self { program: program.clone(), ..self.clone() })
    }

    /// With this mutant on, or none where it is 0.
    fn try_out(&self, root: &Path, mutant: usize) -> Result<End> {
        self.run(root, mutant, self.time * SHARE + SPARE, None)
    }

    fn run(&self, root: &Path, mutant: usize, time: Duration, trace: Option<&Path>) -> Result<End> {
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
        watch(child, time)
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
        match stage.try_out(root, mutant)? {
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
        match stage.try_out(root, 0)? {
            End::Passed => {}
            End::Failed(test) => {
                return Ok((Verdict::Caught, format!("{}: {test}", stage.program.name)));
            }
            End::Hung => return Ok((Verdict::Timeout, stage.program.name.clone())),
        }
    }
    Ok((Verdict::Missed, String::new()))
}

/// Measures all that take no longer than `most`, and puts them in order.
pub fn measured(
    programs: &[Program],
    root: &Path,
    trace: &Path,
    most: Duration,
) -> Result<Vec<Stage>> {
    let mut stages = Vec::new();
    for mut stage in Stage::all(programs) {
        if stage.measure(root, trace, most)? && !stage.reached.is_empty() {
            stages.push(stage);
        }
    }
    stages.sort_by_key(|stage| (stage.filter.is_none(), stage.time));
    Ok(stages)
}
