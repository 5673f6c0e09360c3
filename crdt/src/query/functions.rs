//! The scalar functions. An argument of a type that a function has no meaning for gives null.

use super::error::{Position, QueryError};
use super::limits::ROUND_DIGITS_MAX;
use crate::value::Value;

/// A scalar function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    /// The first argument that is neither null nor missing; the evaluator runs it, as it stops early.
    Coalesce,
    /// All values that concurrent writes left in a field; the evaluator runs it, as it reads the document.
    Conflicts,
    Length,
    Lower,
    Round,
    Substr,
    Trim,
    Upper,
}

/// Name, function, fewest and most arguments.
pub(super) const FUNCTIONS: [(&str, Function, usize, usize); 10] = [
    ("ABS", Function::Abs, 1, 1),
    ("COALESCE", Function::Coalesce, 1, usize::MAX),
    ("CONFLICTS", Function::Conflicts, 1, 1),
    ("LENGTH", Function::Length, 1, 1),
    ("LOWER", Function::Lower, 1, 1),
    ("ROUND", Function::Round, 1, 2),
    ("SUBSTR", Function::Substr, 2, 3),
    ("SUBSTRING", Function::Substr, 2, 3),
    ("TRIM", Function::Trim, 1, 1),
    ("UPPER", Function::Upper, 1, 1),
];

/// Applies a function to arguments whose number the parser has checked; missing arguments arrive as null.
pub(super) fn call(
    function: Function,
    arguments: &[&Value],
    at: Position,
) -> Result<Value, QueryError> {
    Ok(match (function, arguments) {
        (Function::Abs, [Value::Int(number)]) => Value::Int(
            number
                .checked_abs()
                .ok_or_else(|| at.error(format!("ABS({number}) does not fit 64 bits")))?,
        ),
        (Function::Abs, [Value::Float(number)]) => Value::Float(number.abs()),
        (Function::Length, [Value::String(text)]) => count(text.chars().count()),
        (Function::Length, [Value::Bytes(bytes)]) => count(bytes.len()),
        (Function::Length, [Value::List(items)]) => count(items.len()),
        (Function::Length, [Value::Map(members)]) => count(members.len()),
        (Function::Lower, [Value::String(text)]) => Value::String(text.to_lowercase()),
        (Function::Upper, [Value::String(text)]) => Value::String(text.to_uppercase()),
        (Function::Trim, [Value::String(text)]) => Value::String(text.trim().to_owned()),
        (Function::Round, [number]) => round(number, 0),
        (Function::Round, [number, Value::Int(digits)]) => {
            if !(0..=ROUND_DIGITS_MAX).contains(digits) {
                return Err(at.error(format!(
                    "ROUND keeps 0 to {ROUND_DIGITS_MAX} decimal places, not {digits}"
                )));
            }
            round(number, *digits)
        }
        (Function::Substr, [Value::String(text), Value::Int(from)]) => {
            substring(text, *from, i64::MAX)
        }
        (Function::Substr, [Value::String(text), Value::Int(from), Value::Int(length)]) => {
            if *length < 0 {
                return Err(at.error(format!("SUBSTR cannot take {length} characters")));
            }
            substring(text, *from, *length)
        }
        _ => Value::Null,
    })
}

fn count(items: usize) -> Value {
    Value::Int(i64::try_from(items).unwrap_or(i64::MAX))
}

/// Half away from zero. An integer has no decimal places to lose.
fn round(number: &Value, digits: i64) -> Value {
    match number {
        Value::Int(number) => Value::Int(*number),
        Value::Float(number) => {
            let scale = 10f64.powi(i32::try_from(digits).unwrap_or(0));
            let scaled = number * scale;
            // 82.35 is a little less than it says, 823.5 is not: what scaling has rounded away decides.
            let lost = number.mul_add(scale, -scaled);
            let is_below = scaled.fract().abs() == 0.5 && lost * scaled < 0.0;
            let whole = if is_below {
                scaled.trunc()
            } else {
                scaled.round()
            };
            let rounded = whole / scale;
            // A number too large to scale has no decimal places either.
            Value::Float(if rounded.is_finite() {
                rounded
            } else {
                *number
            })
        }
        _ => Value::Null,
    }
}

/// The characters at the positions `from`, `from + 1`, … (the first is 1), `length` of them, as far as they exist.
fn substring(text: &str, from: i64, length: i64) -> Value {
    let end = from.saturating_add(length);
    let start = from.max(1);
    let taken = usize::try_from(end.saturating_sub(start)).unwrap_or(0);
    let skipped = usize::try_from(start - 1).unwrap_or(usize::MAX);
    Value::String(text.chars().skip(skipped).take(taken).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_are_a_window_that_may_leave_the_text() {
        for (from, length, expected) in [
            (1, i64::MAX, "grün"),
            (3, 1, "ü"),
            (4, 10, "n"),
            (0, 2, "g"),
            (-5, 3, ""),
            (9, 1, ""),
            (i64::MIN, i64::MAX, ""),
            (i64::MAX, i64::MAX, ""),
        ] {
            assert_eq!(
                substring("grün", from, length),
                expected.into(),
                "{from} {length}"
            );
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        for (number, digits, expected) in [
            (2.5, 0, 3.0),
            (-2.5, 0, -3.0),
            (1.005e300, 15, 1.005e300),
            (3.15159, 2, 3.15),
            (0.25, 1, 0.3),
            // The float is a little below the half that it is written as.
            (-82.35, 1, -82.3),
            (1.005, 2, 1.0),
        ] {
            assert_eq!(round(&Value::Float(number), digits), Value::Float(expected));
        }
    }
}
