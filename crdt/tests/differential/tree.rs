//! A SELECT as a tree, which prints in both dialects (`ours`, `sqlite`).

use sedge_crdt::Value;

/// What kind of values an expression or field has, null and missing aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    /// Ints and floats.
    Number,
    Text,
    Bool,
    /// Numbers and texts, one beside the other.
    Mixed,
    List,
    Map,
    /// Of no document.
    Absent,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Name(&'static str),
    Index(usize),
}

/// A path into the documents.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) path: Vec<Step>,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Field(Field),
    Literal(Value),
    /// The same, given beside the statement.
    Parameter(Value),
    Negate(Box<Expr>),
    /// `+ - * / %`; the operands of `/` are leaves, as the other dialect repeats them.
    Arithmetic(char, Box<Expr>, Box<Expr>),
    Concat(Box<Expr>, Box<Expr>),
    Compare(&'static str, Box<Expr>, Box<Expr>),
    IsNull(Box<Expr>, bool),
    IsMissing(Box<Expr>, bool),
    In {
        operand: Box<Expr>,
        members: Members,
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
        pattern: String,
        escape: Option<char>,
        negated: bool,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Call(&'static str, Vec<Expr>),
    Aggregate {
        name: &'static str,
        distinct: bool,
        /// `None` is `*`.
        argument: Option<Box<Expr>>,
    },
}

/// What IN looks into.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Members {
    Written(Vec<Expr>),
    /// A list as a parameter.
    Parameter(Vec<Value>),
    Field(Field),
}

#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(crate) expr: Expr,
    /// The name behind AS.
    pub(crate) alias: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Sort {
    pub(crate) by: SortBy,
    pub(crate) descending: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum SortBy {
    /// The column of this number, by its alias.
    Column(usize),
    Expr(Expr),
}

/// A SELECT.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query {
    pub(crate) distinct: bool,
    /// None are `*`.
    pub(crate) columns: Vec<Column>,
    pub(crate) filter: Option<Expr>,
    /// Whether rows are of groups, also without keys.
    pub(crate) grouped: bool,
    pub(crate) keys: Vec<Expr>,
    pub(crate) having: Option<Expr>,
    pub(crate) order: Vec<Sort>,
    pub(crate) limit: Option<u64>,
    pub(crate) offset: Option<u64>,
}

impl Field {
    /// The last name of its path, which names a column.
    pub(crate) fn name(&self) -> Option<&'static str> {
        match self.path.last() {
            Some(Step::Name(name)) => Some(name),
            _ => None,
        }
    }
}

impl Expr {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Expr::Field(field) => field.kind,
            Expr::Literal(value) | Expr::Parameter(value) => kind_of(value),
            Expr::Negate(operand) => operand.kind(),
            Expr::Arithmetic('/', ..) => Kind::Number,
            Expr::Arithmetic(_, left, right) => both(left.kind(), right.kind()),
            Expr::Concat(..) => Kind::Text,
            Expr::Compare(..)
            | Expr::IsNull(..)
            | Expr::IsMissing(..)
            | Expr::In { .. }
            | Expr::Between { .. }
            | Expr::Like { .. }
            | Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_) => Kind::Bool,
            Expr::Case {
                branches,
                otherwise,
                ..
            } => {
                let parts = branches
                    .iter()
                    .map(|(_, then)| then)
                    .chain(otherwise.as_deref());
                together(parts)
            }
            Expr::Call("COALESCE", arguments) => together(arguments),
            Expr::Call("LENGTH", _) => Kind::Int,
            Expr::Call("ABS" | "ROUND", arguments) => arguments[0].kind(),
            Expr::Call(..) => Kind::Text,
            Expr::Aggregate { name: "COUNT", .. } => Kind::Int,
            Expr::Aggregate { name: "AVG", .. } => Kind::Number,
            Expr::Aggregate { argument, .. } => argument.as_ref().map_or(Kind::Int, |it| it.kind()),
        }
    }

    /// The parts directly below.
    pub(crate) fn parts(&self) -> Vec<&Expr> {
        match self {
            Expr::Field(_) | Expr::Literal(_) | Expr::Parameter(_) => Vec::new(),
            Expr::Negate(it) | Expr::IsNull(it, _) | Expr::IsMissing(it, _) | Expr::Not(it) => {
                vec![it]
            }
            Expr::Like { operand, .. } => vec![operand],
            Expr::Arithmetic(_, left, right)
            | Expr::Concat(left, right)
            | Expr::Compare(_, left, right) => vec![left, right],
            Expr::In {
                operand, members, ..
            } => {
                let mut parts: Vec<&Expr> = vec![operand];
                if let Members::Written(members) = members {
                    parts.extend(members);
                }
                parts
            }
            Expr::Between {
                operand, low, high, ..
            } => vec![operand, low, high],
            Expr::And(parts) | Expr::Or(parts) | Expr::Call(_, parts) => parts.iter().collect(),
            Expr::Case {
                operand,
                branches,
                otherwise,
            } => {
                let branches = branches.iter().flat_map(|(when, then)| [when, then]);
                let parts = operand.as_deref().into_iter().chain(branches);
                parts.chain(otherwise.as_deref()).collect()
            }
            Expr::Aggregate { argument, .. } => argument.as_deref().into_iter().collect(),
        }
    }

    /// Whether it or any part of it is so.
    pub(crate) fn any(&self, is: &dyn Fn(&Expr) -> bool) -> bool {
        is(self) || self.parts().into_iter().any(|part| part.any(is))
    }
}

impl Query {
    /// Whether any expression is so.
    pub(crate) fn any(&self, is: &dyn Fn(&Expr) -> bool) -> bool {
        let columns = self.columns.iter().map(|column| &column.expr);
        let sorts = self.order.iter().filter_map(|sort| match &sort.by {
            SortBy::Expr(expr) => Some(expr),
            SortBy::Column(_) => None,
        });
        let clauses = self.filter.iter().chain(&self.keys).chain(&self.having);
        columns.chain(clauses).chain(sorts).any(|expr| expr.any(is))
    }
}

fn kind_of(value: &Value) -> Kind {
    match value {
        Value::Int(_) => Kind::Int,
        Value::Float(_) => Kind::Number,
        Value::String(_) => Kind::Text,
        Value::Bool(_) => Kind::Bool,
        Value::List(_) => Kind::List,
        Value::Map(_) => Kind::Map,
        _ => Kind::Absent,
    }
}

fn together<'a>(parts: impl IntoIterator<Item = &'a Expr>) -> Kind {
    parts
        .into_iter()
        .fold(Kind::Absent, |kind, part| both(kind, part.kind()))
}

/// The narrowest kind that has the values of both.
fn both(left: Kind, right: Kind) -> Kind {
    match (left, right) {
        (Kind::Absent, other) | (other, Kind::Absent) => other,
        (left, right) if left == right => left,
        (Kind::Int | Kind::Number, Kind::Int | Kind::Number) => Kind::Number,
        _ => Kind::Mixed,
    }
}
