//! Known flaws of what we depend on, by a copy of GitHub's advisory database: files in OSV's format,
//! of which those about crates.io count.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use semver::Version;
use serde_json::Value;

use crate::run::root;

/// Where such a copy has the advisories that somebody looked at.
const REVIEWED: &str = "advisories/github-reviewed";

/// Advisories that stay, each argued in SECURITY.md.
const IGNORED: &[&str] = &[];

/// Whether a folder is such a copy.
pub(crate) fn is_copy(folder: &Path) -> bool {
    folder.join(REVIEWED).is_dir()
}

/// Compares everything in Cargo.lock with a copy, and asks nobody.
pub(crate) fn check(folder: &Path) -> Result<()> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).context("Cargo.lock")?;
    let locked = packages(&lock);
    ensure!(!locked.is_empty(), "Cargo.lock names no package");
    let mut files = Vec::new();
    collect(&folder.join(REVIEWED), &mut files)?;
    let mut looked_at = 0;
    let mut found = BTreeSet::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        if !text.contains("\"crates.io\"") {
            continue;
        }
        looked_at += 1;
        let advisory: Value =
            serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        let id = advisory["id"].as_str().unwrap_or_default();
        if !IGNORED.contains(&id) {
            found.extend(hits(&advisory, &locked).into_iter().map(|hit| format!("{id}: {hit}")));
        }
    }
    ensure!(looked_at > 0, "{} has no advisory about crates.io", folder.display());
    let count = locked.len();
    println!("{looked_at} of {} advisories are about crates.io; {count} packages", files.len());
    for hit in &found {
        println!("{hit}");
    }
    ensure!(found.is_empty(), "{} known flaws in what we depend on", found.len());
    Ok(())
}

/// Names and versions in the text of a Cargo.lock.
fn packages(lock: &str) -> Vec<(String, Version)> {
    let field = |line: &str, name: &str| {
        let value = line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"')?;
        Some(value.to_owned())
    };
    let mut packages = Vec::new();
    let mut last = None;
    for line in lock.lines() {
        if let Some(name) = field(line, "name") {
            last = Some(name);
        } else if let Some(version) = field(line, "version")
            && let (Some(name), Ok(version)) = (last.take(), version.parse())
        {
            packages.push((name, version));
        }
    }
    packages
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|ending| ending == "json") {
            files.push(path);
        }
    }
    Ok(())
}

/// What of these an advisory is about, in words.
fn hits(advisory: &Value, locked: &[(String, Version)]) -> Vec<String> {
    if !advisory["withdrawn"].is_null() {
        return Vec::new();
    }
    let summary = advisory["summary"].as_str().unwrap_or_default();
    let affected = advisory["affected"].as_array().into_iter().flatten();
    let ours = affected.filter(|one| one["package"]["ecosystem"] == "crates.io");
    ours.flat_map(|one| {
        let same = locked.iter().filter(|(name, _)| one["package"]["name"] == name.as_str());
        same.filter(|(_, version)| is_affected(one, version))
            .map(|(name, version)| format!("{name} {version}: {summary}"))
    })
    .collect()
}

/// OSV 1.4: affected is what is listed, and what is behind an `introduced` and before the `fixed`,
/// or up to the `last_affected`, that follows it.
fn is_affected(affected: &Value, version: &Version) -> bool {
    let listed = affected["versions"].as_array().into_iter().flatten();
    if listed.into_iter().any(|one| one == version.to_string().as_str()) {
        return true;
    }
    let ranges = affected["ranges"].as_array().into_iter().flatten();
    ranges.into_iter().any(|range| {
        let mut is_inside = false;
        for event in range["events"].as_array().into_iter().flatten() {
            // What makes no sense as a version is taken for the worst.
            let at = |name: &str| event[name].as_str().map(|text| text.parse::<Version>().ok());
            if let Some(introduced) = at("introduced") {
                is_inside |= introduced.is_none_or(|from| *version >= from);
            } else if let Some(Some(fixed)) = at("fixed") {
                is_inside &= *version < fixed;
            } else if let Some(Some(last)) = at("last_affected") {
                is_inside &= *version <= last;
            }
        }
        is_inside
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{hits, is_affected, packages};

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.2.3\"\nsource = \"x\"\n\
                        \n[[package]]\nname = \"b\"\nversion = \"0.10.0-rc.18\"\n";

    fn about(name: &str, events: &serde_json::Value) -> serde_json::Value {
        json!({
            "id": "GHSA-x",
            "summary": "bad",
            "affected": [{
                "package": {"ecosystem": "crates.io", "name": name},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }],
        })
    }

    #[test]
    fn names_and_versions_are_read_from_the_lock_file() {
        let names: Vec<String> =
            packages(LOCK).iter().map(|(name, version)| format!("{name} {version}")).collect();
        assert_eq!(names, ["a 1.2.3", "b 0.10.0-rc.18"]);
    }

    #[test]
    fn what_is_in_a_range_is_told_and_nothing_else() {
        let locked = packages(LOCK);
        let found = |advisory: &serde_json::Value| hits(advisory, &locked);
        let all = json!([{"introduced": "0"}]);
        assert_eq!(found(&about("a", &all)), ["a 1.2.3: bad"]);
        assert_eq!(found(&about("c", &all)), Vec::<String>::new());
        for (events, is_hit) in [
            (json!([{"introduced": "0"}, {"fixed": "1.2.3"}]), false),
            (json!([{"introduced": "0"}, {"fixed": "1.2.4"}]), true),
            (json!([{"introduced": "1.2.4"}]), false),
            (json!([{"introduced": "0"}, {"last_affected": "1.2.3"}]), true),
            (json!([{"introduced": "0"}, {"last_affected": "1.2.2"}]), false),
            (json!([{"introduced": "0"}, {"fixed": "1.0.0"}, {"introduced": "1.2.0"}]), true),
        ] {
            assert_eq!(!found(&about("a", &events)).is_empty(), is_hit, "{events}");
        }
        let mut withdrawn = about("a", &all);
        withdrawn["withdrawn"] = json!("2024-01-01T00:00:00Z");
        assert!(found(&withdrawn).is_empty());
        let mut elsewhere = about("a", &all);
        elsewhere["affected"][0]["package"]["ecosystem"] = json!("npm");
        assert!(found(&elsewhere).is_empty());
        let listed = json!({"versions": ["1.2.3"]});
        assert!(is_affected(&listed, &locked[0].1) && !is_affected(&listed, &locked[1].1));
    }
}
