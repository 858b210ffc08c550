//! Leaves out of a failing script whatever it fails without.

use anyhow::Result;

use crate::play::{Report, play};
use crate::script::Script;

/// The least that still breaks the rule that is broken first, and how many runs it took to find out.
///
/// # Errors
///
/// As [`play`].
pub fn shrink(script: &Script, report: &Report) -> Result<(Script, u32)> {
    let mut least = script.clone();
    let Some(rule) = report.breaches.first().map(|breach| breach.rule) else {
        return Ok((least, 0));
    };
    let mut runs = 0;
    let mut piece = least.steps.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        let mut shrunk = false;
        while at < least.steps.len() {
            let mut without = least.clone();
            without.steps.drain(at..(at + piece).min(without.steps.len()));
            runs += 1;
            if play(&without, false)?.breaches.iter().any(|breach| breach.rule == rule) {
                least = without;
                shrunk = true;
            } else {
                at += piece;
            }
        }
        if !shrunk || piece > least.steps.len() {
            piece /= 2;
        }
    }
    Ok((least, runs))
}
