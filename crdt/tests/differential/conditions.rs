//! Random conditions: predicates, and what joins them.

use super::generate::Generator;
use super::tree::{Expr, Kind, Members};
use sedge_crdt::Value;

const COMPARISONS: [&str; 6] = ["=", "<>", "<", "<=", ">", ">="];

impl Generator<'_> {
    pub(crate) fn condition(&mut self, depth: usize) -> Expr {
        if depth > 0 {
            let parts = |it: &mut Self| {
                (0..2 + it.random.below(2))
                    .map(|_| it.condition(depth - 1))
                    .collect()
            };
            match self.random.below(9) {
                0 => return Expr::And(parts(self)),
                1 | 2 => return Expr::Or(parts(self)),
                3 => return Expr::Not(self.condition(depth - 1).into()),
                4 => {
                    let sides = (self.condition(depth - 1), self.condition(depth - 1));
                    return Expr::Compare(
                        ["=", "<>"][self.random.below(2)],
                        sides.0.into(),
                        sides.1.into(),
                    );
                }
                _ => {}
            }
        }
        self.predicate(depth)
    }

    fn predicate(&mut self, depth: usize) -> Expr {
        let negated = self.random.one_in(3);
        let scalars = [Kind::Int, Kind::Number, Kind::Text, Kind::Mixed];
        match self.random.below(12) {
            0..=2 => {
                let left = self.leaf(&scalars);
                let right = if self.random.one_in(10) {
                    self.leaf(&scalars)
                } else {
                    self.near(&left)
                };
                Expr::Compare(
                    COMPARISONS[self.random.below(COMPARISONS.len())],
                    left.into(),
                    right.into(),
                )
            }
            3 => Expr::Compare(
                COMPARISONS[self.random.below(COMPARISONS.len())],
                self.number(depth).into(),
                self.number(depth).into(),
            ),
            4 => Expr::Compare(
                COMPARISONS[self.random.below(COMPARISONS.len())],
                self.text(depth).into(),
                self.text(depth).into(),
            ),
            5 => Expr::IsNull(
                self.leaf(&[Kind::Mixed, Kind::Int, Kind::Absent, Kind::Bool])
                    .into(),
                negated,
            ),
            6 if self.random.one_in(4) => Expr::IsMissing(self.scalar(1).into(), negated),
            6 => Expr::IsMissing(
                self.leaf(&[Kind::Mixed, Kind::Absent, Kind::Text]).into(),
                negated,
            ),
            7 => self.is_in(negated),
            8 => {
                let operand = self.leaf(&scalars[..3]);
                let (low, high) = (self.near(&operand), self.near(&operand));
                Expr::Between {
                    operand: operand.into(),
                    low: low.into(),
                    high: high.into(),
                    negated,
                }
            }
            9 | 10 => self.like(negated),
            _ if self.random.one_in(3) => self.leaf(&[Kind::Bool]),
            _ => Expr::Compare(
                "=",
                self.leaf(&[Kind::Bool]).into(),
                self.constant(Kind::Bool).into(),
            ),
        }
    }

    fn is_in(&mut self, negated: bool) -> Expr {
        let operand = self.leaf(&[Kind::Int, Kind::Text, Kind::Mixed, Kind::Number]);
        if self.groups.is_none() && self.random.one_in(4) {
            return Expr::In {
                members: Members::Field(self.field(&[Kind::List])),
                operand: operand.into(),
                negated,
            };
        }
        let count = *self.random.pick(&[0, 1, 2, 3, 5, 16, 30]);
        let members: Vec<Expr> = (0..count).map(|_| self.near(&operand)).collect();
        let constants = members.iter().map(|member| match member {
            Expr::Literal(value) | Expr::Parameter(value) => value.clone(),
            _ => Value::Null,
        });
        let members = match self.random.one_in(4) {
            true => Members::Parameter(constants.collect()),
            false => Members::Written(members),
        };
        Expr::In {
            operand: operand.into(),
            members,
            negated,
        }
    }

    fn like(&mut self, negated: bool) -> Expr {
        let operand = match self.random.one_in(6) {
            true => self.leaf(&[Kind::Mixed, Kind::Int]),
            false => self.leaf(&[Kind::Text, Kind::Mixed]),
        };
        let Value::String(text) = self.sample(Kind::Text) else {
            return Expr::IsNull(operand.into(), negated);
        };
        let escape = self.random.one_in(3).then_some('!');
        let mut pattern = String::new();
        let characters: Vec<char> = text.chars().collect();
        let from = self.random.below(characters.len().max(1));
        let until = (from + 1 + self.random.below(4)).min(characters.len());
        if !self.random.one_in(5) {
            pattern.push('%');
        }
        for character in &characters[from.min(until)..until] {
            match (character, escape) {
                (_, _) if self.random.one_in(5) => pattern.push('_'),
                ('%' | '_' | '!', Some(escape)) => pattern.extend([escape, *character]),
                (character, _) => pattern.push(*character),
            }
        }
        if let Some(escape) = escape
            && self.random.one_in(4)
        {
            pattern.extend([escape, '%']);
        }
        if !self.random.one_in(6) {
            pattern.push('%');
        }
        Expr::Like {
            operand: operand.into(),
            pattern,
            escape,
            negated,
        }
    }
}
