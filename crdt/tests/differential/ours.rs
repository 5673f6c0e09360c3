//! A query as a statement of this language, with no more parentheses than it needs; and how often each part of the
//! language was printed.

use super::generate::Random;
use super::tree::{Expr, Field, Members, Query, SortBy, Step};
use sedge_crdt::Value;
use sedge_crdt::query::Params;
use std::collections::BTreeMap;

/// How tight an operator binds, as the grammar has it.
const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const CONCAT: u8 = 5;
const SUM: u8 = 6;
const PRODUCT: u8 = 7;
const SIGN: u8 = 8;
const PRIMARY: u8 = 9;

/// What was printed how often.
pub(crate) type Used = BTreeMap<String, usize>;

/// A statement, its parameters, and the names of its columns.
#[derive(Clone, Debug)]
pub(crate) struct Printed {
    pub(crate) text: String,
    pub(crate) params: Params,
    pub(crate) columns: Vec<String>,
}

pub(crate) struct Printer<'a> {
    pub(crate) used: &'a mut Used,
    /// Chooses between spellings of the same.
    pub(crate) spelling: Random,
    params: Params,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(used: &'a mut Used, spelling: u64) -> Self {
        let (spelling, params) = (Random::new(spelling), Params::new());
        Self {
            used,
            spelling,
            params,
        }
    }

    pub(crate) fn query(mut self, query: &Query, collection: &str) -> Printed {
        let mut text = self.keyword("SELECT");
        if query.distinct {
            text += &(self.keyword(" DISTINCT"));
        }
        let mut columns = Vec::new();
        let mut written = Vec::new();
        for column in &query.columns {
            let expr = self.expr(&column.expr, 0);
            let (name, column) = match &column.alias {
                Some(alias) => (
                    alias.clone(),
                    format!("{expr}{} {alias}", self.keyword(" AS")),
                ),
                None => (implied(&column.expr, &expr), expr),
            };
            columns.push(name);
            written.push(column);
        }
        if written.is_empty() {
            self.note("*");
            written.push("*".to_owned());
        }
        text += &format!(
            " {}{} {collection}",
            written.join(", "),
            self.keyword(" FROM")
        );
        if let Some(filter) = &query.filter {
            text += &format!("{} {}", self.keyword(" WHERE"), self.expr(filter, 0));
        }
        if !query.keys.is_empty() {
            let keys: Vec<String> = query.keys.iter().map(|key| self.expr(key, 0)).collect();
            text += &format!("{} {}", self.keyword(" GROUP BY"), keys.join(", "));
        }
        if let Some(having) = &query.having {
            text += &format!("{} {}", self.keyword(" HAVING"), self.expr(having, 0));
        }
        if !query.order.is_empty() {
            let mut keys = Vec::new();
            for sort in &query.order {
                let by = match &sort.by {
                    SortBy::Column(index) => self.name(&columns[*index]),
                    SortBy::Expr(expr) => self.expr(expr, 0),
                };
                let direction = match (sort.descending, self.spelling.one_in(2)) {
                    (true, _) => self.keyword(" DESC"),
                    (false, true) => self.keyword(" ASC"),
                    (false, false) => String::new(),
                };
                keys.push(by + &direction);
            }
            text += &format!("{} {}", self.keyword(" ORDER BY"), keys.join(", "));
        }
        for (keyword, bound) in [(" LIMIT", query.limit), (" OFFSET", query.offset)] {
            if let Some(bound) = bound {
                text += &self.keyword(keyword);
                text += &match self.spelling.one_in(4) {
                    true => format!(" {}", self.parameter(&Value::Int(bound as i64))),
                    false => format!(" {bound}"),
                };
            }
        }
        Printed {
            text,
            params: self.params,
            columns,
        }
    }

    fn note(&mut self, what: &str) {
        *self.used.entry(what.to_owned()).or_default() += 1;
    }

    /// A keyword, with the space before it, in some case.
    fn keyword(&mut self, word: &str) -> String {
        self.note(word.trim());
        match self.spelling.one_in(4) {
            true => word.to_ascii_lowercase(),
            false => word.to_owned(),
        }
    }

    /// An expression in a place that takes operators which bind at least so tight.
    fn expr(&mut self, expr: &Expr, floor: u8) -> String {
        let (text, power) = self.bare(expr);
        match power < floor || self.spelling.one_in(30) {
            true => format!("({text})"),
            false => text,
        }
    }

    fn bare(&mut self, expr: &Expr) -> (String, u8) {
        match expr {
            Expr::Field(field) => (self.field(field), PRIMARY),
            Expr::Literal(value) => literal(value),
            Expr::Parameter(value) => (self.parameter(value), PRIMARY),
            Expr::Negate(operand) => {
                self.note("-x");
                (format!("- {}", self.expr(operand, SIGN)), SIGN)
            }
            Expr::Arithmetic(operator, left, right) => {
                self.note(&operator.to_string());
                let power = if "+-".contains(*operator) {
                    SUM
                } else {
                    PRODUCT
                };
                let (left, right) = (self.expr(left, power), self.expr(right, power + 1));
                (format!("{left} {operator} {right}"), power)
            }
            Expr::Concat(left, right) => {
                self.note("||");
                let (left, right) = (self.expr(left, CONCAT), self.expr(right, CONCAT + 1));
                (format!("{left} || {right}"), CONCAT)
            }
            Expr::Compare(operator, left, right) => {
                self.note(operator);
                let operator = match (*operator, self.spelling.one_in(3)) {
                    ("=", true) => "==",
                    ("<>", true) => "!=",
                    (other, _) => other,
                };
                let (left, right) = (self.expr(left, CONCAT), self.expr(right, CONCAT));
                (format!("{left} {operator} {right}"), COMPARISON)
            }
            Expr::IsNull(operand, negated) => self.is(operand, *negated, " NULL"),
            Expr::IsMissing(operand, negated) => self.is(operand, *negated, " MISSING"),
            Expr::In {
                operand,
                members,
                negated,
            } => {
                let operand = self.expr(operand, CONCAT);
                let keyword = self.negated(*negated, " IN");
                let members = self.members(members);
                (format!("{operand}{keyword} {members}"), COMPARISON)
            }
            Expr::Between {
                operand,
                low,
                high,
                negated,
            } => {
                let operand = self.expr(operand, CONCAT);
                let keyword = self.negated(*negated, " BETWEEN");
                let (low, high) = (self.expr(low, CONCAT), self.expr(high, CONCAT));
                let and = self.keyword(" AND");
                (format!("{operand}{keyword} {low}{and} {high}"), COMPARISON)
            }
            Expr::Like {
                operand,
                pattern,
                escape,
                negated,
            } => {
                let operand = self.expr(operand, CONCAT);
                let mut text = format!(
                    "{operand}{} {}",
                    self.negated(*negated, " LIKE"),
                    quoted(pattern)
                );
                if let Some(escape) = escape {
                    text += &format!(
                        "{} {}",
                        self.keyword(" ESCAPE"),
                        quoted(&escape.to_string())
                    );
                }
                (text, COMPARISON)
            }
            Expr::And(parts) => self.chain(parts, " AND", AND),
            Expr::Or(parts) => self.chain(parts, " OR", OR),
            Expr::Not(operand) => {
                let keyword = self.keyword("NOT");
                (format!("{keyword} {}", self.expr(operand, NOT)), NOT)
            }
            Expr::Case { .. } => (self.case(expr), PRIMARY),
            Expr::Call(name, arguments) => {
                let keyword = match (*name, self.spelling.one_in(2)) {
                    ("SUBSTR", true) => self.keyword("SUBSTRING"),
                    (name, _) => self.keyword(name),
                };
                let arguments: Vec<String> = arguments.iter().map(|it| self.expr(it, 0)).collect();
                (format!("{keyword}({})", arguments.join(", ")), PRIMARY)
            }
            Expr::Aggregate {
                name,
                distinct,
                argument,
            } => {
                let keyword = self.keyword(name);
                let distinct = match distinct {
                    true => {
                        self.note("DISTINCT in an aggregate");
                        "DISTINCT "
                    }
                    false => "",
                };
                let argument = match argument {
                    Some(argument) => self.expr(argument, 0),
                    None => "*".to_owned(),
                };
                (format!("{keyword}({distinct}{argument})"), PRIMARY)
            }
        }
    }

    fn is(&mut self, operand: &Expr, negated: bool, what: &str) -> (String, u8) {
        let operand = self.expr(operand, CONCAT);
        let is = self.keyword(" IS");
        let not = if negated {
            self.keyword(" NOT")
        } else {
            String::new()
        };
        (
            format!("{operand}{is}{not}{}", self.keyword(what)),
            COMPARISON,
        )
    }

    fn negated(&mut self, negated: bool, keyword: &str) -> String {
        match negated {
            true => {
                self.note(&format!("NOT{keyword}"));
                self.keyword(" NOT") + &self.keyword(keyword)
            }
            false => self.keyword(keyword),
        }
    }

    fn chain(&mut self, parts: &[Expr], keyword: &str, power: u8) -> (String, u8) {
        let mut text = String::new();
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                text += &self.keyword(keyword);
                text.push(' ');
            }
            text += &self.expr(part, power + 1);
        }
        (text, power)
    }

    fn case(&mut self, expr: &Expr) -> String {
        let Expr::Case {
            operand,
            branches,
            otherwise,
        } = expr
        else {
            unreachable!("only of CASE");
        };
        let mut text = self.keyword("CASE");
        if let Some(operand) = operand {
            self.note("CASE with an operand");
            text += &format!(" {}", self.expr(operand, 0));
        }
        for (when, then) in branches {
            let (when, then) = (self.expr(when, 0), self.expr(then, 0));
            text += &format!(
                "{} {when}{} {then}",
                self.keyword(" WHEN"),
                self.keyword(" THEN")
            );
        }
        if let Some(otherwise) = otherwise {
            let otherwise = self.expr(otherwise, 0);
            text += &format!("{} {otherwise}", self.keyword(" ELSE"));
        }
        text + &self.keyword(" END")
    }

    fn members(&mut self, members: &Members) -> String {
        match members {
            Members::Written(members) => {
                if members.len() > 15 {
                    self.note("a long IN");
                }
                let members: Vec<String> = members.iter().map(|it| self.expr(it, 0)).collect();
                let (open, close) = if self.spelling.one_in(4) {
                    ("[", "]")
                } else {
                    ("(", ")")
                };
                format!("{open}{}{close}", members.join(", "))
            }
            Members::Parameter(members) => {
                self.note("IN :parameter");
                let name = self.parameter(&Value::List(members.clone()));
                // By the value, as the two are different expressions in GROUP BY.
                if members.len() % 2 == 0 {
                    name
                } else {
                    format!("({name})")
                }
            }
            Members::Field(field) => {
                self.note("IN a list of the document");
                self.field(field)
            }
        }
    }

    fn parameter(&mut self, value: &Value) -> String {
        self.note(":parameter");
        // One parameter for one value: GROUP BY :a and a column of :b are different expressions, whatever their values.
        let known = self.params.iter().find(|(_, known)| *known == value);
        if let Some((name, _)) = known {
            return format!(":{name}");
        }
        let name = format!("p{}", self.params.len());
        self.params.insert(name.clone(), value.clone());
        format!(":{name}")
    }

    fn field(&mut self, field: &Field) -> String {
        let mut text = String::new();
        for step in &field.path {
            match step {
                Step::Index(index) => {
                    self.note("[index]");
                    text += &format!("[{index}]");
                }
                Step::Name(name) if text.is_empty() => text = self.name(name),
                Step::Name(name) => {
                    self.note(".name");
                    text += &match self.spelling.one_in(4) {
                        true => format!("[{}]", quoted(name)),
                        false => format!(".{}", self.name(name)),
                    };
                }
            }
        }
        text
    }

    fn name(&mut self, name: &str) -> String {
        let plain = name
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || it == '_');
        match (plain, self.spelling.one_in(if plain { 12 } else { 2 })) {
            (true, false) => name.to_owned(),
            (_, true) => {
                self.note("`name`");
                format!("`{name}`")
            }
            (false, false) => {
                self.note("\"name\"");
                format!("\"{name}\"")
            }
        }
    }
}

/// The name of a column without AS.
fn implied(expr: &Expr, text: &str) -> String {
    match expr {
        Expr::Field(field) => field.name().map_or_else(|| text.to_owned(), str::to_owned),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

fn literal(value: &Value) -> (String, u8) {
    match value {
        Value::String(text) => (quoted(text), PRIMARY),
        Value::Null => ("NULL".to_owned(), PRIMARY),
        Value::Bool(truth) => (truth.to_string().to_uppercase(), PRIMARY),
        number => {
            let text = number.to_string();
            let power = if text.starts_with('-') { SIGN } else { PRIMARY };
            (text, power)
        }
    }
}

pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
