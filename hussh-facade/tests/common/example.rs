//! Examples as programs.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// An example's binary: beside the folder of this test's own.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("this test's path");
    let profile = test.parent().and_then(Path::parent).expect("target/<profile>/deps/<test>");
    let binary = profile.join("examples").join(name);
    let hint = format!("build it: cargo build -p hussh --example {name}");
    let built = fs::metadata(&binary).and_then(|file| file.modified());
    let built = built.unwrap_or_else(|error| panic!("{}: {error}; {hint}", binary.display()));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    let sources = match fs::read_dir(&sources) {
        Ok(folder) => folder.map(|source| source.expect("a source").path()).collect(),
        Err(_) => vec![sources.with_extension("rs")],
    };
    for source in sources {
        let changed = fs::metadata(&source).and_then(|file| file.modified()).expect("its time");
        assert!(changed <= built, "{} is newer than the example; {hint}", source.display());
    }
    binary
}
