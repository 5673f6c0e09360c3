//! Expressions, parsed by precedence climbing. From loosest to tightest: OR, AND, NOT, comparisons (with IS, IN,
//! BETWEEN, LIKE), `||`, `+ -`, `* / %`, sign.
//!
//! `sqlparser`'s own expression parser is not used: it doubles its work with every level of some nested calls
//! (`position(position(…` takes 2 s at 20 levels), and its trees lack the operators' places.

use super::ast::{Absence, Arithmetic, Comparison, Expr, ExprKind};
use super::error::{Position, QueryError};
use super::lexer::Token;
use super::parser::{Parser, is_word};
use crate::value::{MAP, TYPES, Value, typed};
use std::sync::Arc;

const OR: u8 = 1;
const AND: u8 = 2;
const NOT: u8 = 3;
const COMPARISON: u8 = 4;
const CONCAT: u8 = 5;
const SUM: u8 = 6;
const PRODUCT: u8 = 7;
const SIGN: u8 = 8;

/// Words that may follow a complete expression inside a larger one; what a misspelt one is compared with.
pub(super) const INFIX_WORDS: [&str; 7] = ["AND", "OR", "IS", "IN", "BETWEEN", "LIKE", "NOT"];

/// What joins the expression on its left with more on its right.
#[derive(Clone, Copy)]
enum Infix {
    Or,
    And,
    Compare(Comparison),
    Concat,
    Arithmetic(Arithmetic),
    /// IS, IN, BETWEEN, LIKE, or one of these after NOT.
    Predicate,
}

impl Infix {
    fn power(self) -> u8 {
        match self {
            Infix::Or => OR,
            Infix::And => AND,
            Infix::Compare(_) | Infix::Predicate => COMPARISON,
            Infix::Concat => CONCAT,
            Infix::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => SUM,
            Infix::Arithmetic(_) => PRODUCT,
        }
    }
}

impl Parser<'_> {
    pub(super) fn expression(&mut self) -> Result<Expr, QueryError> {
        self.climb(0)
    }

    /// An expression whose operators all bind tighter than `floor`.
    fn climb(&mut self, floor: u8) -> Result<Expr, QueryError> {
        self.enter()?;
        let mut left = self.prefix()?;
        let mut compared = false;
        let mut last = None;
        while let Some(infix) = self.infix() {
            if infix.power() <= floor {
                break;
            }
            let at = self.at();
            if let Infix::Compare(_) = infix {
                if compared {
                    return Err(at.error(
                        "comparisons do not chain; write a < b AND b < c, or use parentheses",
                    ));
                }
                compared = true;
            }
            left = match infix {
                Infix::Predicate => self.predicate(left)?,
                _ => {
                    self.take();
                    let right = self.climb(infix.power())?;
                    // One in parentheses stays a part of its own, as which GROUP BY may name it.
                    let goes_on = last == Some(infix.power());
                    self.join(infix, left, right, at, goes_on)?
                }
            };
            last = Some(infix.power());
        }
        self.leave();
        Ok(left)
    }

    fn infix(&self) -> Option<Infix> {
        Some(match self.peek() {
            Token::Symbol("=") => Infix::Compare(Comparison::Equal),
            Token::Symbol("<>") => Infix::Compare(Comparison::NotEqual),
            Token::Symbol("<") => Infix::Compare(Comparison::Less),
            Token::Symbol("<=") => Infix::Compare(Comparison::LessOrEqual),
            Token::Symbol(">") => Infix::Compare(Comparison::Greater),
            Token::Symbol(">=") => Infix::Compare(Comparison::GreaterOrEqual),
            Token::Symbol("||") => Infix::Concat,
            Token::Symbol("+") => Infix::Arithmetic(Arithmetic::Add),
            Token::Symbol("-") => Infix::Arithmetic(Arithmetic::Subtract),
            Token::Symbol("*") => Infix::Arithmetic(Arithmetic::Multiply),
            Token::Symbol("/") => Infix::Arithmetic(Arithmetic::Divide),
            Token::Symbol("%") => Infix::Arithmetic(Arithmetic::Remainder),
            _ if self.sees("AND") => Infix::And,
            _ if self.sees("OR") => Infix::Or,
            _ if ["IS", "IN", "BETWEEN", "LIKE", "NOT"]
                .iter()
                .any(|word| self.sees(word)) =>
            {
                Infix::Predicate
            }
            _ => return None,
        })
    }

    /// `left` and `right` in one; `goes_on` where the operator has just made `left`.
    fn join(
        &self,
        infix: Infix,
        left: Expr,
        right: Expr,
        at: Position,
        goes_on: bool,
    ) -> Result<Expr, QueryError> {
        let from = left.at;
        let kind = match (infix, left.kind) {
            (Infix::And, ExprKind::And(mut parts)) if goes_on => {
                parts.push(right);
                ExprKind::And(parts)
            }
            (Infix::Or, ExprKind::Or(mut parts)) if goes_on => {
                parts.push(right);
                ExprKind::Or(parts)
            }
            (infix, kind) => {
                let left = Expr { kind, ..left };
                match infix {
                    Infix::And => ExprKind::And(vec![left, right]),
                    Infix::Or => ExprKind::Or(vec![left, right]),
                    Infix::Compare(operator) => {
                        ExprKind::Compare(operator, Box::new(left), Box::new(right))
                    }
                    Infix::Concat => ExprKind::Concat(Box::new(left), Box::new(right)),
                    Infix::Arithmetic(operator) => {
                        return self.node(
                            ExprKind::Arithmetic(operator, Box::new(left), Box::new(right)),
                            at,
                        );
                    }
                    Infix::Predicate => return Err(self.unexpected("an operator", &[])),
                }
            }
        };
        self.node(kind, from)
    }

    /// `left IS [NOT] …`, `left [NOT] IN …`, `left [NOT] BETWEEN …`, `left [NOT] LIKE …`
    fn predicate(&mut self, left: Expr) -> Result<Expr, QueryError> {
        let at = left.at;
        let operand = Box::new(left);
        if self.eat("IS") {
            let negated = self.eat("NOT");
            let what = if self.eat("NULL") {
                Absence::Null
            } else if self.eat("MISSING") {
                Absence::Missing
            } else {
                return Err(
                    self.unexpected("NULL or MISSING after IS", &["NULL", "MISSING", "NOT"])
                );
            };
            return self.node(
                ExprKind::Is {
                    operand,
                    what,
                    negated,
                },
                at,
            );
        }
        let negated = self.eat("NOT");
        let kind = if self.eat("IN") {
            ExprKind::In {
                operand,
                list: Box::new(self.members_of_in()?),
                negated,
            }
        } else if self.eat("BETWEEN") {
            let low = Box::new(self.climb(COMPARISON)?);
            self.expect("AND")?;
            ExprKind::Between {
                operand,
                low,
                high: Box::new(self.climb(COMPARISON)?),
                negated,
            }
        } else if self.eat("LIKE") {
            let pattern = Box::new(self.climb(COMPARISON)?);
            let escape = self.eat("ESCAPE").then(|| self.escape()).transpose()?;
            ExprKind::Like {
                operand,
                pattern,
                escape,
                negated,
            }
        } else {
            return Err(
                self.unexpected("IN, BETWEEN or LIKE after NOT", &["IN", "BETWEEN", "LIKE"])
            );
        };
        self.node(kind, at)
    }

    /// `(a, b, …)`, or an expression that gives a list.
    fn members_of_in(&mut self) -> Result<Expr, QueryError> {
        let at = self.at();
        if !self.eat_symbol("(") {
            // `a IN NULL` and `a IN NOT NULL` would be unknown for every document, and are IS NULL misspelt.
            if self.sees("NULL") || self.sees("NOT") {
                return Err(self.unexpected("a list after IN, or IS in its place", &[]));
            }
            return self.climb(COMPARISON);
        }
        let members = self.expressions_until(")")?;
        self.node(ExprKind::List(members), at)
    }

    fn escape(&mut self) -> Result<char, QueryError> {
        if let Token::Text(text) = self.peek() {
            let mut characters = text.chars();
            if let (Some(escape), None) = (characters.next(), characters.next()) {
                self.take();
                return Ok(escape);
            }
        }
        Err(self.unexpected("one character in quotes after ESCAPE", &[]))
    }

    /// A comma-separated, possibly empty list up to a closing symbol, which is taken.
    pub(super) fn expressions_until(&mut self, close: &str) -> Result<Vec<Expr>, QueryError> {
        let mut found = Vec::new();
        if self.eat_symbol(close) {
            return Ok(found);
        }
        loop {
            found.push(self.expression()?);
            if !self.eat_symbol(",") {
                break;
            }
        }
        if self.eat_symbol(close) {
            return Ok(found);
        }
        Err(self.unexpected(&format!("`,` or `{close}`"), &INFIX_WORDS))
    }

    fn prefix(&mut self) -> Result<Expr, QueryError> {
        let at = self.at();
        match self.peek() {
            Token::Number(_) => self.number(""),
            Token::Text(text) => {
                let text = text.clone();
                self.take();
                Ok(Expr::literal(text.into(), at))
            }
            Token::Symbol("-") => {
                self.take();
                if let Token::Number(_) = self.peek() {
                    return self.number("-");
                }
                let operand = Box::new(self.climb(SIGN)?);
                self.node(ExprKind::Negate(operand), at)
            }
            Token::Symbol("+") => {
                self.take();
                self.climb(SIGN)
            }
            Token::Symbol("(") => self.parenthesis(),
            Token::Symbol("[") => {
                self.take();
                let items = self.expressions_until("]")?;
                self.node(ExprKind::List(items), at)
            }
            Token::Symbol("{") => self.map(),
            Token::Symbol(":") => self.parameter(),
            Token::Symbol("*") => Err(at.error("`*` stands alone after SELECT or in COUNT(*)")),
            Token::Word(_) => self.word(),
            Token::Quoted(_) => self.path(),
            Token::Symbol(_) | Token::End => Err(self.unexpected("an expression", &[])),
        }
    }

    fn parenthesis(&mut self) -> Result<Expr, QueryError> {
        self.take();
        if self.sees("SELECT") {
            return Err(self.at().error(
                "subqueries are not supported; run the inner query first and pass its result as a :parameter",
            ));
        }
        let inner = self.expression()?;
        if !self.eat_symbol(")") {
            return Err(self.unexpected("`)`", &INFIX_WORDS));
        }
        Ok(inner)
    }

    fn word(&mut self) -> Result<Expr, QueryError> {
        let at = self.at();
        for (word, value) in [
            ("NULL", Value::Null),
            ("TRUE", Value::Bool(true)),
            ("FALSE", Value::Bool(false)),
        ] {
            if self.eat(word) {
                return Ok(Expr::literal(value, at));
            }
        }
        if self.eat("NOT") {
            let operand = Box::new(self.climb(NOT)?);
            return self.node(ExprKind::Not(operand), at);
        }
        if self.eat("CASE") {
            return self.case(at);
        }
        self.check_not_reserved("an expression")?;
        match self.peek_second() {
            Token::Symbol("(") => self.call(),
            _ => self.path(),
        }
    }

    /// A number, whose sign has been taken already.
    pub(super) fn number(&mut self, sign: &str) -> Result<Expr, QueryError> {
        let at = self.at();
        let Token::Number(digits) = self.take().token else {
            return Err(self.unexpected("a number", &[]));
        };
        let text = format!("{sign}{digits}");
        let value = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Value::Int(text.parse().map_err(|_| {
                at.error(format!(
                    "the integer {text} does not fit 64 bits; write it as a string or as a float"
                ))
            })?)
        } else {
            match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Value::Float(number),
                _ => return Err(at.error(format!("the number {text} does not fit a float"))),
            }
        };
        Ok(Expr::literal(value, at))
    }

    /// `:name`
    pub(super) fn parameter(&mut self) -> Result<Expr, QueryError> {
        let colon = self.at();
        let adjacent = self.second_is_adjacent();
        self.take();
        match self.peek() {
            Token::Word(name) if adjacent => {
                let name = name.clone();
                self.take();
                self.node(ExprKind::Parameter(name), colon)
            }
            _ => Err(colon.error("a parameter is written :name, beginning with a letter")),
        }
    }

    /// `{'name': expression, …}`
    fn map(&mut self) -> Result<Expr, QueryError> {
        let at = self.at();
        let members = self.members()?;
        self.node(written_map(members, at)?, at)
    }

    fn members(&mut self) -> Result<Vec<(String, Expr)>, QueryError> {
        self.take();
        let mut members: Vec<(String, Expr)> = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        while !self.eat_symbol("}") {
            if !members.is_empty() && !self.eat_symbol(",") {
                return Err(self.unexpected("`,` or `}`", &INFIX_WORDS));
            }
            let place = self.at();
            let name = match self.take().token {
                Token::Text(name) | Token::Quoted(name) | Token::Word(name) => name,
                _ => return Err(place.error("expected a member's name, as in {'name': 1}")),
            };
            if !names.insert(name.clone()) {
                return Err(place.error(format!("the member {name} is given twice")));
            }
            self.expect_symbol(":")?;
            let member = match name == MAP && self.sees_symbol("{") {
                true => self.maybe_escaped()?,
                false => self.expression()?,
            };
            members.push((name, member));
        }
        Ok(members)
    }

    /// A map behind `$map`: what it stands for is not known before its end.
    fn maybe_escaped(&mut self) -> Result<Expr, QueryError> {
        self.enter()?;
        let at = self.at();
        let members = self.members()?;
        self.leave();
        self.node(ExprKind::Map(members), at)
    }

    fn case(&mut self, at: Position) -> Result<Expr, QueryError> {
        let operand = if self.sees("WHEN") {
            None
        } else {
            Some(Box::new(self.expression()?))
        };
        let mut branches = Vec::new();
        self.expect("WHEN")?;
        loop {
            let when = self.expression()?;
            self.expect("THEN")?;
            branches.push((when, self.expression()?));
            if !self.eat("WHEN") {
                break;
            }
        }
        let otherwise = if self.eat("ELSE") {
            Some(Box::new(self.expression()?))
        } else {
            None
        };
        if !self.eat("END") {
            return Err(self.unexpected("WHEN, ELSE or END", &["WHEN", "ELSE", "END", "AND", "OR"]));
        }
        self.node(
            ExprKind::Case {
                operand,
                branches,
                otherwise,
            },
            at,
        )
    }

    /// Whether a word that only means something in one place comes next and is followed by another word.
    pub(super) fn sees_pair(&self, first: &str, second: &str) -> bool {
        self.sees(first) && is_word(self.peek_second(), second)
    }
}

/// What a written map is: a plain map behind `$map`, a typed value, or just a map. What a typed value is made of may be
/// known only later, and then so is whether it is right.
fn written_map(mut members: Vec<(String, Expr)>, at: Position) -> Result<ExprKind, QueryError> {
    if let [(name, member)] = members.as_mut_slice()
        && name == MAP
        && let ExprKind::Map(escaped) = &mut member.kind
    {
        let mut escaped = std::mem::take(escaped);
        decide_escaped(&mut escaped)?;
        return Ok(ExprKind::PlainMap(escaped));
    }
    decide_escaped(&mut members)?;
    if let [(name, member)] = members.as_slice()
        && (name == MAP || TYPES.contains(&name.as_str()))
        && let ExprKind::Literal(value) = &member.kind
    {
        let map = [(name.clone(), Value::clone(value))].into();
        let value = typed(map).map_err(|wrong| at.error(wrong))?;
        return Ok(ExprKind::Literal(Arc::new(value)));
    }
    Ok(ExprKind::Map(members))
}

/// Says what a map behind a `$map` is that turned out to be a plain member's name.
fn decide_escaped(members: &mut [(String, Expr)]) -> Result<(), QueryError> {
    for (name, member) in members {
        if name == MAP
            && let ExprKind::Map(within) = &mut member.kind
        {
            member.kind = written_map(std::mem::take(within), member.at)?;
        }
    }
    Ok(())
}
