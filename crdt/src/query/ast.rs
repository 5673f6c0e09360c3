//! What an expression is after parsing: our own tree, small enough to evaluate and compare directly.

use super::Params;
use super::constants::Constants;
use super::error::{Position, QueryError, did_you_mean};
use super::functions::Function;
use crate::value::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// An expression and the place an error about it points at.
#[derive(Clone, Debug)]
pub(super) struct Expr {
    pub(super) kind: ExprKind,
    pub(super) at: Position,
    /// Levels below and including this one.
    pub(super) height: usize,
}

/// Two expressions are equal if they mean the same, wherever they stand.
impl PartialEq for Expr {
    fn eq(&self, other: &Expr) -> bool {
        self.kind == other.kind
    }
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ExprKind {
    /// Shared, because one parameter may stand in many places.
    Literal(Arc<Value>),
    Parameter(String),
    Path(Vec<Segment>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    /// Flat, so that a long chain of conditions does not nest.
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    Concat(Box<Expr>, Box<Expr>),
    Is {
        operand: Box<Expr>,
        what: Absence,
        negated: bool,
    },
    In {
        operand: Box<Expr>,
        list: Box<Expr>,
        negated: bool,
    },
    /// IN with many constants; what binding makes of it.
    InConstants {
        operand: Box<Expr>,
        constants: Arc<Constants>,
        negated: bool,
    },
    Between {
        operand: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    Like {
        operand: Box<Expr>,
        pattern: Box<Expr>,
        escape: Option<char>,
        negated: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Call(Function, Vec<Expr>),
    List(Vec<Expr>),
    Map(Vec<(String, Expr)>),
    /// A map that is one even where it looks like a typed value.
    PlainMap(Vec<(String, Expr)>),
    /// The result of the SELECT's aggregate of this number.
    Aggregate(usize),
    /// The group's value of the GROUP BY expression of this number.
    GroupKey(usize),
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Name(String),
    Index(usize),
}

/// `=` and its kin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Operators on numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What IS asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    Null,
    Missing,
}

impl Expr {
    /// Makes an expression from its parts, whose heights are known.
    pub(super) fn new(kind: ExprKind, at: Position) -> Expr {
        let mut below = 0;
        kind.for_each_child(&mut |child| below = below.max(child.height));
        Expr {
            kind,
            at,
            height: below + 1,
        }
    }

    pub(super) fn literal(value: Value, at: Position) -> Expr {
        Expr::new(ExprKind::Literal(Arc::new(value)), at)
    }

    /// The first place at which `wanted` holds, searching this expression and all below it.
    pub(super) fn find(&self, wanted: &dyn Fn(&ExprKind) -> bool) -> Option<Position> {
        if wanted(&self.kind) {
            return Some(self.at);
        }
        let mut found = None;
        self.kind.for_each_child(&mut |child| {
            if found.is_none() {
                found = child.find(wanted);
            }
        });
        found
    }

    /// Puts the parameters' values into their places and notes which were used.
    pub(super) fn bind(
        &mut self,
        params: &Params,
        used: &mut BTreeSet<String>,
    ) -> Result<(), QueryError> {
        if let ExprKind::Parameter(name) = &self.kind {
            let Some((key, value)) = params.get_key_value(name) else {
                let near = did_you_mean(name, params.keys().map(String::as_str));
                return Err(self
                    .at
                    .error(format!("the parameter :{name} has no value{near}")));
            };
            used.insert(key.clone());
            self.kind = ExprKind::Literal(Arc::new(value.clone()));
            return Ok(());
        }
        let mut outcome = Ok(());
        self.kind.for_each_child_mut(&mut |child| {
            if outcome.is_ok() {
                outcome = child.bind(params, used);
            }
        });
        outcome.map(|()| self.kind.gather_constants())
    }
}

/// Visits the parts of a kind; the body is the same for shared and unique access.
macro_rules! visit_children {
    ($kind:expr, $visit:expr, $iter:ident) => {
        match $kind {
            ExprKind::Literal(_)
            | ExprKind::Parameter(_)
            | ExprKind::Path(_)
            | ExprKind::Aggregate(_)
            | ExprKind::GroupKey(_) => {}
            ExprKind::Not(operand)
            | ExprKind::Negate(operand)
            | ExprKind::Is { operand, .. }
            | ExprKind::InConstants { operand, .. } => {
                $visit(operand);
            }
            ExprKind::Compare(_, left, right)
            | ExprKind::Arithmetic(_, left, right)
            | ExprKind::Concat(left, right)
            | ExprKind::In {
                operand: left,
                list: right,
                ..
            }
            | ExprKind::Like {
                operand: left,
                pattern: right,
                ..
            } => {
                $visit(left);
                $visit(right);
            }
            ExprKind::Between {
                operand, low, high, ..
            } => {
                $visit(operand);
                $visit(low);
                $visit(high);
            }
            ExprKind::Case {
                operand,
                branches,
                otherwise,
            } => {
                operand.$iter().for_each(|part| $visit(part));
                for (when, then) in branches.$iter() {
                    $visit(when);
                    $visit(then);
                }
                otherwise.$iter().for_each(|part| $visit(part));
            }
            ExprKind::And(parts)
            | ExprKind::Or(parts)
            | ExprKind::Call(_, parts)
            | ExprKind::List(parts) => parts.$iter().for_each(|part| $visit(part)),
            ExprKind::Map(members) | ExprKind::PlainMap(members) => {
                members.$iter().for_each(|(_, part)| $visit(part))
            }
        }
    };
}

impl ExprKind {
    /// Makes a long list of constants behind IN one that is looked up, not walked, for every document.
    fn gather_constants(&mut self) {
        if let ExprKind::In {
            operand,
            list,
            negated,
        } = self
            && let Some(constants) = Constants::of(list)
        {
            let nothing = Expr::new(ExprKind::List(Vec::new()), operand.at);
            *self = ExprKind::InConstants {
                operand: Box::new(std::mem::replace(operand, nothing)),
                constants: Arc::new(constants),
                negated: *negated,
            };
        }
    }

    pub(super) fn for_each_child<'a>(&'a self, visit: &mut dyn FnMut(&'a Expr)) {
        visit_children!(self, visit, iter);
    }

    pub(super) fn for_each_child_mut(&mut self, visit: &mut dyn FnMut(&mut Expr)) {
        visit_children!(self, visit, iter_mut);
    }
}
