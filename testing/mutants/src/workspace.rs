//! A copy of the workspace, in which the sources can be changed.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::list::Mutant;
use crate::sites::{Site, find};
use crate::switch::{SWITCH, Switched, switch};

/// The copy, and the files in it that have mutants.
#[derive(Debug)]
pub struct Workspace {
    /// Where the copy is.
    pub root: PathBuf,
    /// Those with mutants, by their paths from the root.
    pub files: BTreeMap<String, File>,
    /// Where `SWITCH` goes.
    library: String,
}

/// A file with mutants.
#[derive(Debug)]
pub struct File {
    /// As it is.
    pub source: String,
    sites: Vec<Site>,
}

impl Workspace {
    /// Copies what git knows of, or would, from `from` to `to`. Files that are as they should be
    /// stay untouched, so that cargo sees no change.
    pub fn copy(from: &Path, to: PathBuf) -> Result<Self> {
        let output = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(from)
            .output()
            .context("could not start git")?;
        if !output.status.success() {
            bail!("`git ls-files` failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let list = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
        let names: HashSet<_> = list.split('\0').filter(|name| !name.is_empty()).collect();
        for name in &names {
            let source = from.join(name);
            if source.is_file() {
                let bytes = fs::read(&source).with_context(|| format!("could not read {name}"))?;
                write(&to.join(name), &bytes)?;
            }
        }
        remove_others(&to, &to, &names)?;
        Ok(Self { root: to, files: BTreeMap::new(), library: String::new() })
    }

    /// Finds the sites of all mutants of a package; gives those that have none.
    pub fn place(&mut self, package: &str, mutants: &[Mutant]) -> Result<Vec<usize>> {
        self.library = format!("{package}/src/lib.rs");
        let mut by_file: BTreeMap<&str, Vec<_>> = BTreeMap::from([(self.library.as_str(), vec![])]);
        for (index, mutant) in mutants.iter().enumerate() {
            by_file.entry(&mutant.file).or_default().push((index + 1, mutant));
        }
        let mut homeless = Vec::new();
        for (name, mutants) in by_file {
            let source = fs::read_to_string(self.root.join(name))
                .with_context(|| format!("could not read {name}"))?;
            let (sites, rest) = find(&source, &mutants).with_context(|| name.to_owned())?;
            homeless.extend(rest);
            self.files.insert(name.to_owned(), File { source, sites });
        }
        Ok(homeless)
    }

    /// Writes all files with the mutants that `wanted` is true for; gives their marks.
    pub fn switch(&self, wanted: impl Fn(usize) -> bool) -> Result<BTreeMap<String, Switched>> {
        let mut all = BTreeMap::new();
        for (name, File { source, sites }) in &self.files {
            let mut switched = switch(source, sites, &wanted);
            if *name == self.library {
                switched.text.push_str(SWITCH);
            }
            write(&self.root.join(name), switched.text.as_bytes())?;
            all.insert(name.clone(), switched);
        }
        Ok(all)
    }

    /// Writes all files as they are, but for one edit.
    pub fn edit(&self, mutant: &Mutant) -> Result<()> {
        for (name, File { source, .. }) in &self.files {
            let text = if *name == mutant.file { mutant.apply(source) } else { source.clone() };
            write(&self.root.join(name), text.as_bytes())?;
        }
        Ok(())
    }
}

/// Writes a file, unless it is there as it should be.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("could not write {}", path.display()))
}

/// Removes files that were copied once and are gone since.
fn remove_others(root: &Path, folder: &Path, names: &HashSet<&str>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        if path.is_dir() {
            remove_others(root, &path, names)?;
        } else if !names.contains(name.as_str()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}
