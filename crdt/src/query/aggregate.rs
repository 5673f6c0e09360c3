//! COUNT, SUM, AVG, MIN and MAX. All but `COUNT(*)` pass over null and missing values; SUM and AVG also over what is
//! not a number.

use super::ast::Expr;
use super::compare::{self, Ranked};
use super::error::{Position, QueryError};
use super::eval::Scope;
use super::held::Held;
use crate::value::Value;
use std::collections::BTreeSet;

/// Which aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AggregateFunction {
    Count,
    Sum,
    Avg,
    Min,
    Max,
}

impl AggregateFunction {
    pub(super) const NAMES: [&'static str; 5] = ["COUNT", "SUM", "AVG", "MIN", "MAX"];

    /// The aggregate of this name in capitals.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "COUNT" => AggregateFunction::Count,
            "SUM" => AggregateFunction::Sum,
            "AVG" => AggregateFunction::Avg,
            "MIN" => AggregateFunction::Min,
            "MAX" => AggregateFunction::Max,
            _ => return None,
        })
    }
}

/// An aggregate as a statement calls it.
#[derive(Clone, Debug)]
pub(super) struct AggregateCall {
    pub(super) function: AggregateFunction,
    /// `None` for `*`.
    pub(super) argument: Option<Expr>,
    pub(super) distinct: bool,
    pub(super) at: Position,
}

/// Equal calls give equal results, wherever they stand.
impl PartialEq for AggregateCall {
    fn eq(&self, other: &Self) -> bool {
        (self.function, &self.argument, self.distinct)
            == (other.function, &other.argument, other.distinct)
    }
}

/// The state of one aggregate over one group.
pub(super) struct Accumulator<'a> {
    call: &'a AggregateCall,
    seen: BTreeSet<Ranked>,
    count: i64,
    /// Exact: 2^63 values of 64 bits fit.
    integers: i128,
    floats: f64,
    has_floats: bool,
    extreme: Option<Value>,
}

impl<'a> Accumulator<'a> {
    pub(super) fn new(call: &'a AggregateCall) -> Self {
        Accumulator {
            call,
            seen: BTreeSet::new(),
            count: 0,
            integers: 0,
            floats: 0.0,
            has_floats: false,
            extreme: None,
        }
    }

    /// Takes one document of the group into account.
    pub(super) fn add(&mut self, scope: Scope<'_>, held: &Held) -> Result<(), QueryError> {
        let Some(argument) = &self.call.argument else {
            self.count += 1;
            return Ok(());
        };
        let value = argument.or_null(scope)?;
        if *value == Value::Null {
            return Ok(());
        }
        if self.call.distinct {
            if !self.seen.insert(Ranked(Some(value.clone().into_owned()))) {
                return Ok(());
            }
            held.add(value.held_bytes())?;
        }
        match self.call.function {
            AggregateFunction::Count => self.count += 1,
            AggregateFunction::Sum | AggregateFunction::Avg => match &*value {
                Value::Int(number) => {
                    self.integers += i128::from(*number);
                    self.count += 1;
                }
                Value::Float(number) => {
                    self.floats += number;
                    self.has_floats = true;
                    self.count += 1;
                }
                _ => {}
            },
            AggregateFunction::Min | AggregateFunction::Max => {
                let wins = self.extreme.as_ref().is_none_or(|best| {
                    let order = compare::total(&value, best);
                    match self.call.function {
                        AggregateFunction::Min => order.is_lt(),
                        _ => order.is_gt(),
                    }
                });
                if wins {
                    held.release(self.extreme.as_ref().map_or(0, Value::held_bytes));
                    held.add(value.held_bytes())?;
                    self.extreme = Some(value.into_owned());
                }
            }
        }
        Ok(())
    }

    /// The aggregate of all that was added: null over nothing, except for COUNT.
    pub(super) fn finish(self) -> Result<Value, QueryError> {
        match self.call.function {
            AggregateFunction::Count => Ok(Value::Int(self.count)),
            AggregateFunction::Min | AggregateFunction::Max => {
                Ok(self.extreme.unwrap_or(Value::Null))
            }
            AggregateFunction::Sum | AggregateFunction::Avg if self.count == 0 => Ok(Value::Null),
            AggregateFunction::Sum if self.has_floats => self.float(self.total()),
            AggregateFunction::Sum => i64::try_from(self.integers).map(Value::Int).map_err(|_| {
                self.call
                    .at
                    .error(format!("the sum {} does not fit 64 bits", self.integers))
            }),
            AggregateFunction::Avg => {
                let count = i128::from(self.count);
                if !self.has_floats && self.integers % count == 0 {
                    // A mean lies between its numbers, so it fits as they do.
                    if let Ok(mean) = i64::try_from(self.integers / count) {
                        return Ok(Value::Int(mean));
                    }
                }
                self.float(self.total() / self.count as f64)
            }
        }
    }

    fn total(&self) -> f64 {
        self.integers as f64 + self.floats
    }

    fn float(&self, number: f64) -> Result<Value, QueryError> {
        if number.is_finite() {
            Ok(Value::Float(number))
        } else {
            Err(self.call.at.error("the sum is too large for a float"))
        }
    }
}
