//! Equality and order of values.
//!
//! `=` and `<` follow three-valued logic; ORDER BY, MIN, MAX, DISTINCT and GROUP BY use one total order over all types:
//! missing < null < bool < numbers < timestamps < strings < bytes < attachments < lists < maps. Integers and floats compare by
//! their exact numeric value; a counter is an integer here, a text is a string.

use crate::value::Value;
use std::cmp::Ordering;

/// `left = right`: unknown (`None`) if either is null; values of different types are simply not equal.
pub(super) fn equal(left: &Value, right: &Value) -> Option<bool> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => None,
        _ => Some(total(left, right) == Ordering::Equal),
    }
}

/// How `left` stands to `right` for `<` and `>`: unknown (`None`) if either is null or their types differ.
pub(super) fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => None,
        _ if rank(left) != rank(right) => None,
        _ => Some(total(left, right)),
    }
}

/// The total order, with a missing value (`None`) before all others.
pub(super) fn total_with_missing(left: Option<&Value>, right: Option<&Value>) -> Ordering {
    match (left, right) {
        (Some(left), Some(right)) => total(left, right),
        _ => left.is_some().cmp(&right.is_some()),
    }
}

/// The total order over all values.
pub(super) fn total(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Int(a) | Value::Counter(a), Value::Int(b) | Value::Counter(b)) => a.cmp(b),
        // Floats in values are finite, so partial_cmp always decides; it makes -0.0 equal to 0.0.
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Value::Int(a) | Value::Counter(a), Value::Float(b)) => int_with_float(*a, *b),
        (Value::Float(a), Value::Int(b) | Value::Counter(b)) => int_with_float(*b, *a).reverse(),
        (Value::String(a) | Value::Text(a), Value::String(b) | Value::Text(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Attachment(a), Value::Attachment(b)) => a.cmp(b),
        (Value::List(a), Value::List(b)) => a
            .iter()
            .zip(b)
            .map(|(a, b)| total(a, b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        (Value::Map(a), Value::Map(b)) => a
            .iter()
            .zip(b)
            .map(|((key_a, a), (key_b, b))| key_a.cmp(key_b).then_with(|| total(a, b)))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| a.len().cmp(&b.len())),
        _ => rank(left).cmp(&rank(right)),
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Int(_) | Value::Float(_) | Value::Counter(_) => 2,
        Value::Timestamp(_) => 3,
        Value::String(_) | Value::Text(_) => 4,
        Value::Bytes(_) => 5,
        Value::Attachment(_) => 6,
        Value::List(_) => 7,
        Value::Map(_) => 8,
    }
}

/// Exact, also where an integer has more digits than a float can hold.
fn int_with_float(int: i64, float: f64) -> Ordering {
    /// The first float above every 64-bit integer; its negative is the least one.
    const ABOVE: f64 = 9_223_372_036_854_775_808.0;
    if float >= ABOVE {
        return Ordering::Less;
    }
    if float < -ABOVE {
        return Ordering::Greater;
    }
    // Within these bounds the whole part converts exactly.
    let whole = float.trunc();
    int.cmp(&(whole as i64))
        .then_with(|| whole.partial_cmp(&float).unwrap_or(Ordering::Equal))
}

/// A value that may be missing, ordered by the total order: the key of groups and of DISTINCT.
#[derive(Clone, Debug)]
pub(super) struct Ranked(pub(super) Option<Value>);

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        total_with_missing(self.0.as_ref(), other.0.as_ref())
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{arbitrary, parse_json};
    use proptest::prelude::*;

    /// Goal: an integer that no float can represent is never taken for its neighbour.
    #[test]
    fn integers_and_floats_compare_exactly() {
        let two53 = 9_007_199_254_740_992i64;
        for (int, float, expected) in [
            (1, 1.0, Ordering::Equal),
            (1, 1.5, Ordering::Less),
            (-1, -1.5, Ordering::Greater),
            (two53, two53 as f64, Ordering::Equal),
            (two53 + 1, two53 as f64, Ordering::Greater),
            (i64::MAX, 9_223_372_036_854_775_808.0, Ordering::Less),
            (i64::MIN, -9_223_372_036_854_775_808.0, Ordering::Equal),
            (0, -0.0, Ordering::Equal),
            (0, f64::MAX, Ordering::Less),
            (0, f64::MIN, Ordering::Greater),
        ] {
            assert_eq!(int_with_float(int, float), expected, "{int} {float}");
        }
    }

    #[test]
    fn types_rank_in_the_documented_order() {
        let ranked = r#"[null,false,true,-1,0.5,{"$counter":1},2,{"$timestamp":1},{"$timestamp":2},"",{"$text":"a"},"b",
                {"$bytes":""},{"$bytes":"AA=="},[],[1],[1,0],[2],{},{"a":1},{"a":2},{"b":0}]"#;
        let Ok(Value::List(values)) = parse_json(ranked) else {
            unreachable!("the text is a list");
        };
        for (i, left) in values.iter().enumerate() {
            assert!(total_with_missing(None, Some(left)).is_lt());
            for (j, right) in values.iter().enumerate() {
                assert_eq!(total(left, right), i.cmp(&j), "{left} {right}");
            }
        }
    }

    proptest! {
        /// Goal: the order is one: antisymmetric and transitive, or sorting would be arbitrary.
        #[test]
        fn the_order_is_total(a in arbitrary::value(), b in arbitrary::value(), c in arbitrary::value()) {
            prop_assert_eq!(total(&a, &b), total(&b, &a).reverse());
            if total(&a, &b).is_le() && total(&b, &c).is_le() {
                prop_assert!(total(&a, &c).is_le());
            }
        }
    }
}
