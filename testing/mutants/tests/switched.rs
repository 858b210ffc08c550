//! A mutant behind its switch does what the edited source does.

use std::path::Path;
use std::process::Command;

use mutants::list::{Genre, Mutant, Place, Span};
use mutants::sites::find;
use mutants::switch::{SWITCH, switch};

/// Each piece that is edited stands here once, with a comment behind it where that is of use.
const SAMPLE: &str = r#"
#[derive(Clone, Copy, Default)]
struct Pair {
    left: i64,
    right: i64,
}

fn measure(a: i64, b: i64) -> i64 {
    let base = Pair { left: 7, right: 8 };
    let pair = Pair { left: a, ..base };
    let mut sum = pair.left + // a sum
        pair.right;
    sum += b * 3 - a;
    if a > 1 && let Some(third) = (a != 2).then_some(b) && third < 3 { sum } else { -b }
}

fn kind(a: i64, b: i64) -> &'static str {
    match a {
        0 => "none",
        1 if b == 2 || b > 4 => "one",
        _ => "many",
    }
}

fn main() {
    for a in 0..4 {
        for b in 0..6 {
            println!("{} {}", measure(a, b), kind(a, b));
        }
    }
}
"#;

fn mutant(genre: Genre, around: &str, piece: &str, replacement: &str) -> Mutant {
    let start = SAMPLE.find(around).expect(around);
    let start = start + around.find(piece).expect(piece);
    let place = |byte: usize| {
        let before = &SAMPLE[..byte];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place { line: before.matches('\n').count() + 1, column: byte - line_start + 1 }
    };
    Mutant {
        name: format!("{piece} to {replacement} in {around}"),
        file: "sample.rs".to_owned(),
        genre,
        replacement: replacement.to_owned(),
        span: Span { start: place(start), end: place(start + piece.len()) },
        function: None,
    }
}

fn sample() -> Vec<Mutant> {
    let body = "let base = Pair { left: 7, right: 8 };";
    let body = &SAMPLE[SAMPLE.find(body).expect(body)..];
    let body = &body[..body.find("\n}").expect("its end")];
    let guarded = "1 if b == 2 || b > 4 => \"one\",";
    let operator = |around, piece, other| mutant(Genre::BinaryOperator, around, piece, other);
    vec![
        mutant(Genre::FnValue, body, body, "5"),
        mutant(Genre::StructField, "left: a, ..base", "left: a,", ""),
        operator("pair.left + //", "+", "*"),
        operator("sum += b", "+=", "-="),
        operator("sum += b", "+=", "*="),
        operator("b * 3 - a", "-", "+"),
        operator("b * 3 - a", "*", "+"),
        operator("a > 1", ">", ">="),
        operator("a != 2", "!=", "=="),
        operator("third < 3", "<", "=="),
        mutant(Genre::UnaryOperator, "{ -b }", "-", ""),
        mutant(Genre::MatchArm, "0 => \"none\",", "0 => \"none\",", ""),
        mutant(Genre::MatchArm, guarded, guarded, ""),
        mutant(Genre::MatchArmGuard, "b == 2 || b > 4", "b == 2 || b > 4", "true"),
        mutant(Genre::MatchArmGuard, "b == 2 || b > 4", "b == 2 || b > 4", "false"),
        operator("b == 2 || b > 4", "||", "&&"),
        operator("b == 2 ||", "==", "!="),
        operator("b > 4", ">", "<"),
    ]
}

fn build(folder: &Path, name: &str, source: &str) -> std::path::PathBuf {
    let path = folder.join(format!("{name}.rs"));
    std::fs::write(&path, source).expect("a file");
    let program = folder.join(name);
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--cap-lints", "allow", "-o"]).arg(&program).arg(&path);
    let output = command.output().expect("rustc");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    program
}

fn told(program: &Path, mutant: usize) -> String {
    let mut command = Command::new(program);
    let output = command.env("POOL_MUTANT", mutant.to_string()).output().expect("the program");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_mutant_behind_its_switch_does_what_the_edited_source_does() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mutants = sample();
    let numbered: Vec<_> = mutants.iter().enumerate().map(|(at, it)| (at + 1, it)).collect();
    let (sites, homeless) = find(SAMPLE, &numbered).expect("a file of Rust");
    assert_eq!(homeless, [0; 0], "no place");
    let switched = switch(SAMPLE, &sites, |_| true).text + SWITCH;
    let switched = build(folder, "switched", &switched);
    let plain = told(&build(folder, "plain", SAMPLE), 0);
    assert_eq!(told(&switched, 0), plain, "with no mutant on");
    for (number, mutant) in numbered {
        let edited = told(&build(folder, "edited", &mutant.apply(SAMPLE)), 0);
        assert_ne!(edited, plain, "{}: the sample does not show it", mutant.name);
        assert_eq!(told(&switched, number), edited, "{}", mutant.name);
    }
}

#[test]
fn what_is_no_rust_elsewhere_has_no_place() {
    let mutants = [
        mutant(Genre::BinaryOperator, "1 && let", "&&", "||"),
        mutant(Genre::Other, "fn kind", "fn", ""),
    ];
    let numbered: Vec<_> = mutants.iter().enumerate().map(|(at, it)| (at + 1, it)).collect();
    let (sites, homeless) = find(SAMPLE, &numbered).expect("a file of Rust");
    assert_eq!((sites.len(), homeless), (0, vec![1, 2]));
}

#[test]
fn a_key_stays_where_the_function_moves_and_changes_with_its_text() {
    use mutants::list::{Function, Lines};
    let whole = "fn f() -> bool {\n    1 > 2\n}\n";
    let function = |line| Function {
        function_name: "f".to_owned(),
        return_type: "-> bool".to_owned(),
        span: Span { start: Place { line, column: 1 }, end: Place { line: line + 2, column: 2 } },
    };
    let at = |line| Mutant {
        span: Span {
            start: Place { line: line + 1, column: 7 },
            end: Place { line: line + 1, column: 8 },
        },
        function: Some(function(line)),
        ..mutant(Genre::BinaryOperator, "a > 1", ">", "<")
    };
    let moved = format!("// A line.\n{whole}");
    let changed = whole.replace('2', "3");
    let key = at(1).key(&Lines::new(whole));
    assert_eq!(key, at(2).key(&Lines::new(&moved)));
    assert_ne!(key, at(1).key(&Lines::new(&changed)));
}
