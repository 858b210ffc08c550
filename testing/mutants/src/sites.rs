//! Where in a file its mutants go.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;

use anyhow::Result;
use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, Expr, ExprBinary, ExprStruct, ExprUnary};

use crate::list::{Genre, Lines, Mutant, Place};

/// A piece of a file with the mutants that change it.
#[derive(Debug, PartialEq, Eq)]
pub struct Site {
    /// The bytes that it replaces; none where something is only put in.
    pub range: Range<usize>,
    /// How it is written.
    pub edit: Edit,
}

/// How a site is written. A mutant is a number and what it puts there.
#[derive(Debug, PartialEq, Eq)]
pub enum Edit {
    /// Before the first statement of a function.
    Body(Vec<(usize, String)>),
    /// Other operators between the same operands.
    Binary {
        /// The operand before it.
        left: Range<usize>,
        /// The operand behind it.
        right: Range<usize>,
        /// The other operators.
        mutants: Vec<(usize, String)>,
    },
    /// The operand alone.
    Unary {
        /// Without its operator.
        operand: Range<usize>,
        /// The number.
        mutant: usize,
    },
    /// The guard of an arm.
    Guard {
        /// The arm goes.
        arm: Option<usize>,
        /// The guard is true.
        always: Option<usize>,
        /// The guard is false.
        never: Option<usize>,
    },
    /// Behind the pattern of an arm that has no guard, and goes.
    Arm(usize),
    /// The struct expression without one of its fields.
    Fields(Vec<(usize, Range<usize>)>),
}

/// The sites of a file, outer ones before those in them, and the mutants that have none: such as
/// no compiler would take, and such as this tool doesn't know.
pub fn find(source: &str, mutants: &[(usize, &Mutant)]) -> Result<(Vec<Site>, Vec<usize>)> {
    let file = syn::parse_file(source)?;
    let lines = Lines::new(source);
    let mut at: HashMap<_, Vec<_>> = HashMap::new();
    for &(number, mutant) in mutants {
        at.entry((mutant.genre, mutant.span.start)).or_default().push((number, mutant));
    }
    let mut finder = Finder { lines: &lines, at, sites: Vec::new() };
    finder.bodies();
    finder.visit_file(&file);
    let Finder { at, mut sites, .. } = finder;
    // A body's mutants come before what its first statement begins with.
    sites.sort_by_key(|Site { range, .. }| (range.start, !range.is_empty(), Reverse(range.end)));
    let mut homeless: Vec<_> = at.into_values().flatten().map(|(number, _)| number).collect();
    homeless.sort_unstable();
    Ok((sites, homeless))
}

struct Finder<'a> {
    lines: &'a Lines<'a>,
    at: HashMap<(Genre, Place), Vec<(usize, &'a Mutant)>>,
    sites: Vec<Site>,
}

impl Finder<'_> {
    fn bodies(&mut self) {
        let keys: Vec<_> =
            self.at.keys().filter(|(genre, _)| *genre == Genre::FnValue).copied().collect();
        for key in keys {
            let start = self.lines.byte(key.1);
            let edit = Edit::Body(self.take(key.0, key.1));
            self.sites.push(Site { range: start..start, edit });
        }
    }

    fn take(&mut self, genre: Genre, start: Place) -> Vec<(usize, String)> {
        let mutants = self.at.remove(&(genre, start)).unwrap_or_default();
        mutants.into_iter().map(|(number, mutant)| (number, mutant.replacement.clone())).collect()
    }

    fn take_one(&mut self, genre: Genre, start: Place) -> Option<usize> {
        self.take(genre, start).first().map(|&(number, _)| number)
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_expr_binary(&mut self, node: &'ast ExprBinary) {
        // `a || let …` and `a && (let …)` are not Rust.
        if !is_chain(&node.left) && !is_chain(&node.right) {
            let mutants = self.take(Genre::BinaryOperator, place(node.op.span().start()));
            if !mutants.is_empty() {
                let (left, right) = (range(&node.left), range(&node.right));
                let edit = Edit::Binary { left, right, mutants };
                self.sites.push(Site { range: range(node), edit });
            }
        }
        visit::visit_expr_binary(self, node);
    }

    fn visit_expr_unary(&mut self, node: &'ast ExprUnary) {
        let start = place(node.op.span().start());
        if let Some(mutant) = self.take_one(Genre::UnaryOperator, start) {
            let edit = Edit::Unary { operand: range(&node.expr), mutant };
            self.sites.push(Site { range: range(node), edit });
        }
        visit::visit_expr_unary(self, node);
    }

    fn visit_arm(&mut self, node: &'ast Arm) {
        let arm = self.take_one(Genre::MatchArm, place(node.span().start()));
        match (&node.guard, arm) {
            (Some((_, guard)), _) => {
                let mutants = self.take(Genre::MatchArmGuard, place(guard.span().start()));
                let that = |text| mutants.iter().find(|(_, other)| other == text);
                let always = that("true").map(|&(number, _)| number);
                let never = that("false").map(|&(number, _)| number);
                if arm.or(always).or(never).is_some() {
                    let edit = Edit::Guard { arm, always, never };
                    self.sites.push(Site { range: range(guard.as_ref()), edit });
                }
            }
            (None, Some(mutant)) => {
                let end = node.pat.span().byte_range().end;
                self.sites.push(Site { range: end..end, edit: Edit::Arm(mutant) });
            }
            (None, None) => {}
        }
        visit::visit_arm(self, node);
    }

    fn visit_expr_struct(&mut self, node: &'ast ExprStruct) {
        let mut fields = Vec::new();
        for field in &node.fields {
            let start = place(field.span().start());
            let mutants = self.at.remove(&(Genre::StructField, start)).unwrap_or_default();
            fields.extend(mutants.iter().map(|&(number, it)| (number, self.lines.bytes(it.span))));
        }
        if !fields.is_empty() {
            self.sites.push(Site { range: range(node), edit: Edit::Fields(fields) });
        }
        visit::visit_expr_struct(self, node);
    }
}

/// Whether it is a `let` of a condition, or a chain with one.
fn is_chain(node: &Expr) -> bool {
    match node {
        Expr::Let(_) => true,
        Expr::Binary(ExprBinary { left, right, .. }) => is_chain(left) || is_chain(right),
        _ => false,
    }
}

fn range(node: &impl Spanned) -> Range<usize> {
    node.span().byte_range()
}

fn place(at: LineColumn) -> Place {
    Place { line: at.line, column: at.column + 1 }
}
