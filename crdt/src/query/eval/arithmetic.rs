//! The operators `||`, `+ -` and `* / %`. Arithmetic on something that is not a number gives null, and so does division by
//! zero; a result that does not fit its type is an error.

use crate::query::ast::Arithmetic;
use crate::query::error::{Position, QueryError};
use crate::value::Value;

/// Strings as they are, numbers and bools as JSON writes them; null with anything else.
pub(super) fn concat(left: &Value, right: &Value) -> Value {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    match (text(left), text(right)) {
        (Some(left), Some(right)) => Value::String(left + &right),
        _ => Value::Null,
    }
}

/// A number as a float; integers beyond 2^53 are rounded to the nearest one.
fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// What an operator makes of two values; null unless both are numbers.
pub(super) fn arithmetic(
    operator: Arithmetic,
    left: &Value,
    right: &Value,
    at: Position,
) -> Result<Value, QueryError> {
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        return on_integers(operator, *left, *right, at);
    }
    let (Some(a), Some(b)) = (as_float(left), as_float(right)) else {
        return Ok(Value::Null);
    };
    let result = match operator {
        Arithmetic::Add => a + b,
        Arithmetic::Subtract => a - b,
        Arithmetic::Multiply => a * b,
        Arithmetic::Divide | Arithmetic::Remainder if b == 0.0 => return Ok(Value::Null),
        Arithmetic::Divide => a / b,
        Arithmetic::Remainder => a % b,
    };
    if result.is_finite() {
        Ok(Value::Float(result))
    } else {
        Err(at.error(format!(
            "the result of {left} and {right} is too large for a float"
        )))
    }
}

/// A quotient is an integer where the division leaves no remainder, else a float.
fn on_integers(operator: Arithmetic, a: i64, b: i64, at: Position) -> Result<Value, QueryError> {
    let (sign, result) = match operator {
        Arithmetic::Add => ("+", a.checked_add(b)),
        Arithmetic::Subtract => ("-", a.checked_sub(b)),
        Arithmetic::Multiply => ("*", a.checked_mul(b)),
        Arithmetic::Divide | Arithmetic::Remainder if b == 0 => return Ok(Value::Null),
        Arithmetic::Remainder => ("%", Some(a.wrapping_rem(b))),
        Arithmetic::Divide if a.wrapping_rem(b) != 0 => {
            return Ok(Value::Float(a as f64 / b as f64));
        }
        Arithmetic::Divide => ("/", a.checked_div(b)),
    };
    result.map(Value::Int).ok_or_else(|| {
        at.error(format!(
            "{a} {sign} {b} does not fit a 64-bit integer; make one of them a float to lose digits instead"
        ))
    })
}
