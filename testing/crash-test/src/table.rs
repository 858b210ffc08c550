//! The table, for people and for programs.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::scenarios::{Report, SCENARIOS};

/// A line for programs.
#[derive(Debug, Serialize)]
#[allow(missing_docs, reason = "columns")]
pub struct Line {
    pub scenario: &'static str,
    pub backend: &'static str,
    pub api: &'static str,
    pub commands: usize,
    pub lost: usize,
    pub reported_lost: usize,
    pub doubled: usize,
    pub wrong: usize,
    pub hung: usize,
    pub detect_s: Option<f64>,
    pub recover_s: Option<f64>,
}

impl From<&Report> for Line {
    fn from(report: &Report) -> Self {
        let rounded = |time: Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
        let Report { scenario, api, sums, outcome, .. } = report;
        Self {
            scenario: scenario.name,
            backend: api.backend(),
            api: api.style(),
            commands: sums.commands,
            lost: sums.lost,
            reported_lost: sums.reported_lost,
            doubled: sums.doubled,
            wrong: sums.wrong,
            hung: sums.hung,
            detect_s: outcome.detect.map(rounded),
            recover_s: outcome.recover.map(rounded),
        }
    }
}

/// The page `FAULTS.md`.
pub fn page(reports: &[Report], quick: bool) -> String {
    let mut page = String::from(INTRODUCTION);
    if quick {
        page.push_str(
            "This is of a quick run (`--quick`): shorter, with fewer offsets and dials.\n\n",
        );
    }
    page.push_str(
        "| scenario | backend | api | commands | lost | reported | not sent | doubled | wrong | hung \
         | detect s | recover s | what a borrower saw |\n\
         |---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for report in reports {
        let line = Line::from(report);
        let time = |time: Option<f64>| time.map_or("–".into(), |time| format!("{time:.2}"));
        let saw = match &report.failure {
            Some(failure) => format!("**FAILED** {failure}"),
            None => report.outcome.saw.clone(),
        };
        let saw: String = saw.replace('|', "\\|").replace('\n', " ").chars().take(240).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {saw} |",
            line.scenario,
            line.backend,
            line.api,
            line.commands,
            line.lost,
            line.reported_lost,
            report.sums.not_sent,
            line.doubled,
            line.wrong,
            line.hung,
            time(line.detect_s),
            time(line.recover_s),
        );
    }
    page.push_str("\n## The scenarios\n\n");
    for scenario in SCENARIOS {
        let _ = writeln!(page, "* `{}`: {}", scenario.name, scenario.about);
    }
    page
}

const INTRODUCTION: &str = "# What a borrower sees when things break

Written by `cargo xtask faults`, from a run against a real sshd behind a proxy; `--json` has the same \
for programs, `--only NAME` plays one scenario, `--quick` a shorter form of all. `sync` over russh is \
`hussh::blocking`; libssh2 has no async API.

Every command appends a nonce of its own to a file on the server, which is compared with what callers \
were told:

* **lost**: ran or may have run, and nobody has its output. **reported**: those whose caller got an \
error that says that the command may have started. Only commands under way on a session that died may \
be lost, and all of them must be reported.
* **not sent**: the caller got an error that says that the command did not start, and it did not.
* **doubled**: ran twice. **wrong**: an output that is not the command's, or a command that ran though \
its caller was told otherwise. **hung**: a call that did not return within its limit. All must be 0.
* **detect**: from the fault to the first who was told. **recover**: from the fault, or from its end \
where it lasts, to the next command that ended well.

";
