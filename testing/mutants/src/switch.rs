//! Writes a file in which every mutant sleeps behind a switch.

use std::ops::Range;

use crate::sites::{Edit, Site};

/// What the switched crate has at its end. Mutant 0 is none; `POOL_TRACE` names a file that is told
/// which ones were met.
pub const SWITCH: &str = r#"
pub(crate) mod mutant {
    use std::io::Write;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Trace {
        file: std::fs::File,
        met: Vec<AtomicBool>,
    }

    static ACTIVE: LazyLock<usize> = LazyLock::new(|| {
        std::env::var("POOL_MUTANT").ok().and_then(|number| number.parse().ok()).unwrap_or(0)
    });

    static TRACE: LazyLock<Option<Trace>> = LazyLock::new(|| {
        let path = std::env::var_os("POOL_TRACE")?;
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path).ok()?;
        Some(Trace { file, met: (0..100_000).map(|_| AtomicBool::new(false)).collect() })
    });

    pub(crate) fn on(number: usize) -> bool {
        if let Some(trace) = &*TRACE
            && let Some(met) = trace.met.get(number)
            && !met.swap(true, Ordering::Relaxed)
        {
            let _ = (&trace.file).write_all(format!("{number}\n").as_bytes());
        }
        *ACTIVE == number
    }
}
"#;

/// A file with its mutants, and which bytes of it belong to which.
#[derive(Debug)]
pub struct Switched {
    /// The file.
    pub text: String,
    /// Of each mutant that piece that is there for its sake, and of each site all of it with all
    /// of its mutants.
    pub marks: Vec<(Range<usize>, Vec<usize>)>,
}

/// Puts in the mutants that `wanted` is true for.
pub fn switch(source: &str, sites: &[Site], wanted: impl Fn(usize) -> bool) -> Switched {
    let switched = Switched { text: String::new(), marks: Vec::new() };
    let mut writer = Writer { source, wanted: &wanted, switched };
    writer.write(0..source.len(), sites);
    writer.switched
}

struct Writer<'a> {
    source: &'a str,
    wanted: &'a dyn Fn(usize) -> bool,
    switched: Switched,
}

impl Writer<'_> {
    fn write(&mut self, range: Range<usize>, sites: &[Site]) {
        let mut at = range.start;
        let mut rest = sites;
        while let Some((site, later)) = rest.split_first() {
            let inner = later.partition_point(|other| other.range.start < site.range.end);
            self.plain(at..site.range.start);
            self.site(site, &later[..inner]);
            at = site.range.end;
            rest = &later[inner..];
        }
        self.plain(at..range.end);
    }

    fn site(&mut self, site: &Site, inner: &[Site]) {
        let start = self.switched.text.len();
        let whole = site.range.clone();
        let numbers = match &site.edit {
            Edit::Body(mutants) => {
                let mutants = self.wanted(mutants);
                for (number, value) in &mutants {
                    let text = format!("if crate::mutant::on({number}) {{ return {value}; }} ");
                    self.put(&text, *number);
                }
                numbers(&mutants)
            }
            Edit::Binary { left, right, mutants } => {
                let (a, b) = (&self.source[left.clone()], &self.source[right.clone()]);
                let with = |operator: &String| format!("({a}) {operator} ({b})");
                let texts = mutants.iter().map(|(number, operator)| (*number, with(operator)));
                self.choice(&texts.collect::<Vec<_>>(), whole, inner)
            }
            Edit::Unary { operand, mutant } => {
                let text = self.source[operand.clone()].to_owned();
                self.choice(&[(*mutant, text)], whole, inner)
            }
            Edit::Fields(fields) => {
                let without = |range: &Range<usize>| {
                    let before = &self.source[whole.start..range.start];
                    format!("{before}{}", &self.source[range.end..whole.end])
                };
                let texts = fields.iter().map(|(number, range)| (*number, without(range)));
                self.choice(&texts.collect::<Vec<_>>(), whole.clone(), inner)
            }
            Edit::Guard { arm, always, never } => {
                let [arm, always, never] =
                    [arm, always, never].map(|mutant| mutant.filter(|&it| (self.wanted)(it)));
                for (mutant, before) in [(arm, "!"), (always, "")] {
                    let Some(number) = mutant else { continue };
                    let after = if before.is_empty() { "|| (" } else { "&& (" };
                    self.put(&format!("{before}crate::mutant::on({number}) {after}"), number);
                }
                if let Some(number) = never {
                    self.put(&format!("!crate::mutant::on({number}) && ("), number);
                }
                self.write(whole, inner);
                let open = [arm, always, never].iter().flatten().count();
                self.switched.text.push_str(&")".repeat(open));
                [arm, always, never].into_iter().flatten().collect()
            }
            Edit::Arm(mutant) => {
                let mutants = self.wanted(&[(*mutant, String::new())]);
                for (number, _) in &mutants {
                    self.put(&format!(" if !crate::mutant::on({number})"), *number);
                }
                numbers(&mutants)
            }
        };
        if !numbers.is_empty() {
            self.switched.marks.push((start..self.switched.text.len(), numbers));
        }
    }

    fn wanted(&self, mutants: &[(usize, String)]) -> Vec<(usize, String)> {
        mutants.iter().filter(|(number, _)| (self.wanted)(*number)).cloned().collect()
    }

    /// One of these texts where its mutant is on, else what is there; gives those that are wanted.
    fn choice(
        &mut self,
        texts: &[(usize, String)],
        whole: Range<usize>,
        inner: &[Site],
    ) -> Vec<usize> {
        let mutants = self.wanted(texts);
        if mutants.is_empty() {
            self.write(whole, inner);
            return Vec::new();
        }
        self.switched.text.push('(');
        for (number, text) in &mutants {
            self.put(&format!("if crate::mutant::on({number}) {{ {text} }} else "), *number);
        }
        self.switched.text.push_str("{ ");
        self.write(whole, inner);
        self.switched.text.push_str(" })");
        numbers(&mutants)
    }

    fn put(&mut self, text: &str, number: usize) {
        let start = self.switched.text.len();
        self.switched.text.push_str(text);
        self.switched.marks.push((start..self.switched.text.len(), vec![number]));
    }

    fn plain(&mut self, range: Range<usize>) {
        self.switched.text.push_str(&self.source[range]);
    }
}

fn numbers(mutants: &[(usize, String)]) -> Vec<usize> {
    mutants.iter().map(|&(number, _)| number).collect()
}
