//! Ranges of keys of one field.

use super::super::ast::Comparison;
use super::key::{IndexKey, invert, string_prefix, successor, type_bounds};
use crate::value::Value;

/// The keys from `start` on, below `end`. No key begins another, so a span has a key's extensions wholly or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Vec<u8>,
    pub(super) end: Vec<u8>,
    /// Whether it is that of one key.
    pub(super) is_point: bool,
}

/// Which values a condition allows.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    /// Ascending, without overlap.
    pub(super) spans: Vec<Span>,
    /// Whether the spans have keys of no other values.
    pub(super) is_exact: bool,
}

impl Spans {
    /// Exactly this value, null or MISSING also.
    pub(super) fn of(value: Option<&Value>) -> Self {
        let key = IndexKey::of(value);
        Self {
            spans: vec![Span {
                end: successor(key.bytes.clone()),
                start: key.bytes,
                is_point: true,
            }],
            is_exact: !key.is_truncated,
        }
    }

    fn nothing() -> Self {
        Self {
            spans: Vec::new(),
            is_exact: true,
        }
    }

    /// What stands in this relation to a value: something of its type; nothing for null. `None` for `<>`.
    pub(super) fn compared(comparison: Comparison, value: &Value) -> Option<Self> {
        let Some((first, above)) = type_bounds(value) else {
            return (comparison != Comparison::NotEqual).then(Self::nothing);
        };
        let key = IndexKey::of(Some(value));
        let behind = successor(key.bytes.clone());
        // Values that share a truncated key may be on either side.
        let (before_behind, after_behind) = match key.is_truncated {
            true => (behind.clone(), key.bytes.clone()),
            false => (key.bytes.clone(), behind.clone()),
        };
        let (start, end) = match comparison {
            Comparison::Equal => return Some(Self::of(Some(value))),
            Comparison::NotEqual => return None,
            Comparison::Less => (vec![first], before_behind),
            Comparison::LessOrEqual => (vec![first], behind),
            Comparison::Greater => (after_behind, vec![above]),
            Comparison::GreaterOrEqual => (key.bytes, vec![above]),
        };
        Some(Self {
            spans: vec![Span {
                start,
                end,
                is_point: false,
            }],
            is_exact: !key.is_truncated,
        })
    }

    /// The strings that begin with `text`; exact if that is all that is asked of them.
    pub(super) fn strings_from(text: &str, is_all: bool) -> Self {
        let (start, is_whole) = string_prefix(text);
        Self {
            spans: vec![Span {
                end: successor(start.clone()),
                start,
                is_point: false,
            }],
            is_exact: is_all && is_whole,
        }
    }

    /// What one of many allows.
    pub(super) fn union(many: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::nothing();
        for one in many {
            all.spans.extend(one.spans);
            all.is_exact &= one.is_exact;
        }
        all.spans
            .sort_by(|left, right| left.start.cmp(&right.start));
        let mut merged: Vec<Span> = Vec::with_capacity(all.spans.len());
        for span in all.spans {
            match merged.last_mut() {
                Some(last) if span.start < last.end => {
                    last.is_point &= span.is_point;
                    last.end = span.end.max(std::mem::take(&mut last.end));
                }
                _ => merged.push(span),
            }
        }
        Self {
            spans: merged,
            is_exact: all.is_exact,
        }
    }

    /// What both allow.
    pub(super) fn intersection(self, other: &Self) -> Self {
        let (mut left, mut right) = (self.spans.iter().peekable(), other.spans.iter().peekable());
        let mut spans = Vec::new();
        while let (Some(one), Some(two)) = (left.peek(), right.peek()) {
            let span = Span {
                start: one.start.clone().max(two.start.clone()),
                end: one.end.clone().min(two.end.clone()),
                is_point: one.is_point || two.is_point,
            };
            match one.end <= two.end {
                true => left.next(),
                false => right.next(),
            };
            if span.start < span.end {
                spans.push(span);
            }
        }
        Self {
            spans,
            is_exact: self.is_exact && other.is_exact,
        }
    }

    /// The one value that is allowed, if it is one.
    pub(super) fn is_single(&self) -> bool {
        self.is_exact && matches!(self.spans.as_slice(), [span] if span.is_point)
    }
}

impl Span {
    /// The same values in a field that descends.
    pub(super) fn descending(&self) -> Self {
        let turned = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            invert(&mut bytes);
            successor(bytes)
        };
        Self {
            start: turned(&self.end),
            end: turned(&self.start),
            is_point: self.is_point,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::plan::IndexField;
    use crate::value::arbitrary;
    use proptest::prelude::*;

    fn holds(spans: &[Span], key: &[u8]) -> bool {
        spans
            .iter()
            .any(|span| *span.start <= *key && *key < *span.end)
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            arbitrary::value(),
            (-3_i64..3).prop_map(Value::Int),
            "[\u{0}ab]{0,3}".prop_map(Value::String),
            "[ab]{0,2}".prop_map(|text| Value::String("x".repeat(300) + &text)),
        ]
    }

    proptest! {
        /// Goal: a span has the key of each value that the comparison holds for, ascending and descending; an exact one
        /// no other's.
        #[test]
        fn comparisons_become_spans(value in value(), bound in value(), behind in prop::collection::vec(any::<u8>(), 0..3)) {
            use crate::query::compare::{equal, order};
            for comparison in [Comparison::Equal, Comparison::Less, Comparison::LessOrEqual, Comparison::Greater, Comparison::GreaterOrEqual] {
                let spans = Spans::compared(comparison, &bound).unwrap();
                let truth = match comparison {
                    Comparison::Equal | Comparison::NotEqual => equal(&value, &bound),
                    Comparison::Less => order(&value, &bound).map(|order| order.is_lt()),
                    Comparison::LessOrEqual => order(&value, &bound).map(|order| order.is_le()),
                    Comparison::Greater => order(&value, &bound).map(|order| order.is_gt()),
                    Comparison::GreaterOrEqual => order(&value, &bound).map(|order| order.is_ge()),
                } == Some(true);
                for descending in [false, true] {
                    let document = Value::Map([("a".to_owned(), value.clone())].into());
                    let fields = [IndexField { path: vec!["a".into()], descending }];
                    let mut key = IndexKey::of_document(&fields, &document).bytes;
                    key.extend(&behind);
                    let turned: Vec<Span> = spans.spans.iter().map(Span::descending).collect();
                    let found = holds(if descending { &turned } else { &spans.spans }, &key);
                    prop_assert!(found || !truth, "{value} {comparison:?} {bound}");
                    prop_assert!(truth || !found || !spans.is_exact, "{value} {comparison:?} {bound}");
                }
            }
        }

        /// Goal: both of two, and either of two, allow what logic says.
        #[test]
        fn spans_combine(a in value(), b in value(), c in value()) {
            let spans = |comparison, value| Spans::compared(comparison, value).unwrap();
            let (low, high) = (spans(Comparison::Greater, &a), spans(Comparison::LessOrEqual, &b));
            let key = IndexKey::of(Some(&c)).bytes;
            let (in_low, in_high) = (holds(&low.spans, &key), holds(&high.spans, &key));
            let both = low.clone().intersection(&high);
            prop_assert_eq!(holds(&both.spans, &key), in_low && in_high);
            let either = Spans::union([low, high]);
            prop_assert_eq!(holds(&either.spans, &key), in_low || in_high);
        }
    }
}
