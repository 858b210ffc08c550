//! Builds the copy, and finds out which mutants no compiler takes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use syn::spanned::Spanned;
use syn::visit::Visit;

use crate::list::{Genre, Mutant};
use crate::switch::Switched;
use crate::workspace::Workspace;

/// How the package is built.
#[derive(Debug)]
pub struct Cargo {
    /// Words before cargo, which must run it: a queue for builds, say.
    pub before: Vec<String>,
    /// The package.
    pub package: String,
    /// Its features.
    pub features: String,
    /// Where cargo builds.
    pub target: PathBuf,
}

/// One of the package's test programs.
#[derive(Debug, Clone)]
pub struct Program {
    /// The name of its target.
    pub name: String,
    /// The program.
    pub path: PathBuf,
}

/// Why a mutant is not in the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dropped {
    /// The compiler would not take it either way; what it said.
    Unviable(String),
    /// It can't be switched: such code runs when it is compiled, or has a type of its own.
    Unswitched(String),
}

impl Cargo {
    fn command(&self, root: &Path, what: &[&str]) -> Command {
        let words: Vec<_> = self.before.iter().map(String::as_str).chain(["cargo"]).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(what);
        command.args(["--package", &self.package, "--features", &self.features, "--locked"]);
        command.args(["--message-format", "json"]);
        // Only what is broken here: everything else is built as ever, and so at hand.
        for package in [self.package.as_str(), "pool-model"] {
            command.args(["--config", &format!("profile.dev.package.{package}.opt-level=1")]);
        }
        command.env("CARGO_TARGET_DIR", &self.target).current_dir(root);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Checks the library alone; gives the errors.
    fn check(&self, root: &Path) -> Result<Vec<Value>> {
        let output = self.command(root, &["check", "--lib"]).output().context("no cargo")?;
        let errors = errors(&output.stdout)?;
        if !output.status.success() && errors.is_empty() {
            bail!("`cargo check` failed without an error, in {}", root.display());
        }
        Ok(errors)
    }

    /// Whether the library compiles.
    pub fn compiles(&self, root: &Path) -> Result<bool> {
        Ok(self.check(root)?.is_empty())
    }

    /// Builds all tests.
    pub fn tests(&self, root: &Path) -> Result<Vec<Program>> {
        let what = ["test", "--lib", "--tests", "--no-run"];
        let output = self.command(root, &what).output().context("no cargo")?;
        if !output.status.success() {
            let first = errors(&output.stdout)?.first().map(rendered).unwrap_or_default();
            bail!("the tests do not compile, in {}: {first}", root.display());
        }
        let mut programs = Vec::new();
        for message in messages(&output.stdout)? {
            if let (Some(path), Some(name)) =
                (message["executable"].as_str(), message["target"]["name"].as_str())
                && message["profile"]["test"] == true
            {
                programs.push(Program { name: name.to_owned(), path: path.into() });
            }
        }
        Ok(programs)
    }

    /// Switches as many mutants as there are that compile; adds the others to `dropped`.
    pub fn settle(
        &self,
        workspace: &Workspace,
        mutants: &[Mutant],
        dropped: &mut BTreeMap<usize, Dropped>,
    ) -> Result<()> {
        for (index, mutant) in mutants.iter().enumerate() {
            if mutant.genre == Genre::FnValue && returns_own_type(mutant) {
                let why = Dropped::Unswitched("returns a type of its own".to_owned());
                dropped.entry(index + 1).or_insert(why);
            }
        }
        loop {
            let switched = workspace.switch(|number| !dropped.contains_key(&number))?;
            let errors = self.check(&workspace.root)?;
            if errors.is_empty() {
                return Ok(());
            }
            let before = dropped.len();
            for error in &errors {
                for (number, is_its_own) in blamed(error, &switched) {
                    let mutant = &mutants[number - 1];
                    if is_uncovered(error) && mutant.genre != Genre::MatchArm {
                        continue;
                    }
                    let why = reason(error, mutant, is_its_own);
                    dropped.entry(number).or_insert(why);
                }
            }
            println!("{} errors, {} mutants dropped", errors.len(), dropped.len() - before);
            if dropped.len() == before {
                bail!("no mutant is to blame for: {}", rendered(&errors[0]));
            }
        }
    }
}

fn messages(output: &[u8]) -> Result<Vec<Value>> {
    let lines = output.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"{"));
    lines.map(|line| serde_json::from_slice(line).context("cargo's message")).collect()
}

fn errors(output: &[u8]) -> Result<Vec<Value>> {
    let messages = messages(output)?.into_iter().map(|mut message| message["message"].take());
    // The summary has no place.
    let is_error = |message: &Value| {
        message["level"] == "error" && message["spans"].as_array().is_some_and(|it| !it.is_empty())
    };
    Ok(messages.filter(is_error).collect())
}

fn rendered(error: &Value) -> String {
    error["rendered"].as_str().unwrap_or_default().to_owned()
}

/// The mutants that an error may come from, and whether it lies in what is there for one alone.
fn blamed(error: &Value, files: &BTreeMap<String, Switched>) -> BTreeMap<usize, bool> {
    let mut spans: Vec<_> = error["spans"].as_array().into_iter().flatten().collect();
    spans.sort_by_key(|span| span["is_primary"] != true);
    for span in &spans {
        let Some((switched, range)) = place(span, files) else { continue };
        let around = |marked: &Range<usize>| marked.start <= range.start && range.end <= marked.end;
        let marks = switched.marks.iter().filter(|(marked, _)| around(marked));
        if let Some((_, numbers)) = marks.min_by_key(|(marked, _)| marked.len()) {
            return numbers.iter().map(|&number| (number, numbers.len() == 1)).collect();
        }
    }
    // Nowhere in a site: whatever is in the same function may have to do with it.
    for (switched, range) in spans.iter().filter_map(|span| place(span, files)) {
        let function = function_around(&switched.text, &range);
        let inside = switched.marks.iter().filter(|(marked, _)| function.contains(&marked.start));
        let numbers = inside.flat_map(|(_, numbers)| numbers);
        let blamed: BTreeMap<_, _> = numbers.map(|&number| (number, false)).collect();
        if !blamed.is_empty() {
            return blamed;
        }
    }
    BTreeMap::new()
}

fn place<'a>(
    span: &Value,
    files: &'a BTreeMap<String, Switched>,
) -> Option<(&'a Switched, Range<usize>)> {
    let name = span["file_name"].as_str()?;
    let (_, switched) = files.iter().find(|(file, _)| name.ends_with(file.as_str()))?;
    let byte = |which: &str| span[which].as_u64().and_then(|byte| usize::try_from(byte).ok());
    Some((switched, byte("byte_start")?..byte("byte_end")?))
}

/// The smallest function around these bytes.
fn function_around(text: &str, range: &Range<usize>) -> Range<usize> {
    struct Functions(BTreeSet<(usize, usize, usize)>);
    impl Functions {
        fn note(&mut self, node: &impl Spanned) {
            let range = node.span().byte_range();
            self.0.insert((range.len(), range.start, range.end));
        }
    }
    impl<'ast> Visit<'ast> for Functions {
        fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
            self.note(node);
            syn::visit::visit_item_fn(self, node);
        }
        fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
            self.note(node);
            syn::visit::visit_impl_item_fn(self, node);
        }
        fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
            self.note(node);
            syn::visit::visit_trait_item_fn(self, node);
        }
    }
    let mut functions = Functions(BTreeSet::new());
    if let Ok(file) = syn::parse_file(text) {
        functions.visit_file(&file);
    }
    let around =
        |&&(_, start, end): &&(usize, usize, usize)| start <= range.start && range.end <= end;
    functions.0.iter().find(around).map_or(0..0, |&(_, start, end)| start..end)
}

/// Whether a function's type is that of what it returns: it can return one thing only.
fn returns_own_type(mutant: &Mutant) -> bool {
    mutant.function.as_ref().is_some_and(|function| function.return_type.contains("impl "))
}

/// Whether a match has no arm for a value: one that is there only at times counts for none.
fn is_uncovered(error: &Value) -> bool {
    error["code"]["code"] == "E0004"
}

/// Whether the error would be there without the switch, too.
fn reason(error: &Value, mutant: &Mutant, is_its_own: bool) -> Dropped {
    let code = error["code"]["code"].as_str().unwrap_or_default();
    let said = format!("{code} {}", error["message"].as_str().unwrap_or_default());
    let by_type = match mutant.genre {
        Genre::FnValue => {
            let codes =
                ["E0277", "E0308", "E0599", "E0624", "E0061", "E0433", "E0423", "E0282", "E0283"];
            codes.contains(&code)
        }
        _ => {
            ["E0277", "E0308", "E0369", "E0368", "E0600", "E0614", "E0605", "E0606"].contains(&code)
        }
    };
    if (is_its_own && by_type) || is_uncovered(error) {
        Dropped::Unviable(said)
    } else {
        Dropped::Unswitched(said)
    }
}
