//! The mutants that cargo-mutants would make, as it lists them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One edit of the source.
#[derive(Debug, Clone, Deserialize)]
pub struct Mutant {
    /// Where, what, and in which function: one line.
    pub name: String,
    /// The file, from the workspace's root.
    pub file: String,
    /// The kind of edit.
    pub genre: Genre,
    /// What is put in place of `span`.
    pub replacement: String,
    /// What is replaced.
    pub span: Span,
    /// The function that it is in; none for constants.
    pub function: Option<Function>,
}

/// The kinds of edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Genre {
    /// A function returns at once.
    FnValue,
    /// Another operator between two operands, those that assign included.
    BinaryOperator,
    /// An operator before its operand goes.
    UnaryOperator,
    /// An arm of a match goes.
    MatchArm,
    /// A guard of an arm says always or never.
    MatchArmGuard,
    /// A field is taken from the base of its struct expression.
    StructField,
    /// One that is not known here.
    #[serde(other)]
    Other,
}

/// From the first character to behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Span {
    /// The first character.
    pub start: Place,
    /// Behind the last one.
    pub end: Place,
}

/// A character of a file; both figures count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// A function.
#[derive(Debug, Clone, Deserialize)]
pub struct Function {
    /// Its name, with that of its type.
    pub function_name: String,
    /// `-> T`, or nothing.
    pub return_type: String,
    /// All of it.
    pub span: Span,
}

/// Has cargo-mutants list all mutants of a package.
pub fn list(root: &Path, package: &str) -> Result<Vec<Mutant>> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json", "--package", package])
        .current_dir(root)
        .output()
        .context("could not start cargo")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`cargo mutants --list` failed (`cargo install cargo-mutants` where missing): {said}"
        );
    }
    serde_json::from_slice(&output.stdout).context("`cargo mutants --list` is not understood")
}

/// Finds bytes of a text by line and character.
#[derive(Debug)]
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Of this text.
    pub fn new(text: &'a str) -> Self {
        let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The byte where a character begins; the text's end for one that is not there.
    pub fn byte(&self, place: Place) -> usize {
        let Some(&start) = self.starts.get(place.line.saturating_sub(1)) else {
            return self.text.len();
        };
        let mut characters = self.text[start..].char_indices().map(|(at, _)| start + at);
        characters.nth(place.column.saturating_sub(1)).unwrap_or(self.text.len())
    }

    /// The bytes of a span.
    pub fn bytes(&self, span: Span) -> std::ops::Range<usize> {
        self.byte(span.start)..self.byte(span.end)
    }
}

impl Mutant {
    /// What the mutant is called in results: the same for as long as the text of its function is
    /// the same, wherever in the file that stands.
    pub fn key(&self, lines: &Lines<'_>) -> String {
        let (name, span) = match &self.function {
            Some(function) => (function.function_name.as_str(), function.span),
            None => ("", self.span),
        };
        let range = lines.bytes(span);
        let offset = lines.byte(self.span.start).saturating_sub(range.start);
        let hash = hash(&lines.text[range]);
        let Self { file, genre, replacement, .. } = self;
        format!("{file} {name} {hash:016x} {offset} {genre:?} {replacement}")
    }
}

/// FNV-1a, which is the same everywhere and for ever.
fn hash(text: &str) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

impl Mutant {
    /// The file with this edit alone.
    pub fn apply(&self, source: &str) -> String {
        let range = Lines::new(source).bytes(self.span);
        format!("{}{}{}", &source[..range.start], self.replacement, &source[range.end..])
    }
}
