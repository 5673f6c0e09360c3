//! Which documents concern a live query: those that its collection and filter select, before a commit or after it.
//! Queries of equal conditions share one, and its tests.

use super::pause::Pause;
use crate::query::{Filter, Select};
use crate::store::deadline::Deadline;
use crate::value::Value;
use parking_lot::Mutex;
use std::sync::Arc;

/// Documents tested between two looks at the clock.
const CHECK_INTERVAL: usize = 64;

pub(super) struct Condition {
    pub(super) collection: Arc<str>,
    filter: Filter,
    /// While it lasts, nothing is tested: testing took too long.
    pause: Mutex<Pause>,
}

impl Condition {
    pub(super) fn of(select: &Select) -> Self {
        Self {
            collection: select.collection().into(),
            filter: select.filter().clone(),
            pause: Mutex::default(),
        }
    }

    /// Whether it selects the same documents as another one, by its words.
    pub(super) fn equals(&self, select: &Select) -> bool {
        *self.collection == *select.collection() && self.filter == *select.filter()
    }

    /// For each document, of which all values that it went through are given, whether it may concern the queries. One
    /// that can't be told does: each query finds out by itself, in its own time.
    pub(super) fn concerns(&self, documents: &[&[&Value]], deadline: &Deadline) -> Vec<bool> {
        let mut pause = self.pause.lock();
        if self.filter.is_everything() || !pause.is_over() {
            return vec![true; documents.len()];
        }
        let mut concerns = Vec::with_capacity(documents.len());
        for (index, values) in documents.iter().enumerate() {
            let is_late = index.is_multiple_of(CHECK_INTERVAL) && deadline.check().is_err();
            if is_late {
                break;
            }
            concerns.push(values.iter().any(|value| self.selects(value, deadline)));
        }
        match deadline.check() {
            Ok(()) => pause.end(),
            Err(_) => pause.prolong(),
        }
        concerns.resize(documents.len(), true);
        concerns
    }

    fn selects(&self, value: &Value, deadline: &Deadline) -> bool {
        let matches = deadline.evaluate(|work| self.filter.matches(value, work));
        matches.unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Params, Statement};
    use crate::value::parse_json;
    use std::time::Duration;

    fn condition(statement: &str) -> Condition {
        let statement = Statement::parse(statement).unwrap();
        let Statement::Select(select) = statement.bind(&Params::new()).unwrap() else {
            panic!("no SELECT");
        };
        Condition::of(&select)
    }

    /// Goal: a document concerns a query if any of its values is selected, or can't be tested.
    #[test]
    fn any_value_of_a_document_counts() {
        let values = ["{\"n\":1}", "{\"n\":-1}", "{\"n\":9223372036854775807}"];
        let [positive, negative, huge] = values.map(|text| parse_json(text).unwrap());
        let condition = condition("SELECT * FROM c WHERE n + 1 > 1");
        let documents: [&[&Value]; 4] = [&[&negative, &positive], &[&negative], &[], &[&huge]];
        let concerns = condition.concerns(&documents, &Deadline::default());
        assert_eq!(concerns, [true, false, false, true]);
    }

    /// Goal: a test that takes too long is left to the queries, and not tried again for a while.
    #[test]
    fn a_slow_test_is_left_out() {
        let document = parse_json("{\"n\":-1}").unwrap();
        let condition = condition("SELECT * FROM c WHERE n > 0");
        let documents: [&[&Value]; 1] = [&[&document]];
        let no_time = Deadline::after(Duration::ZERO);
        assert_eq!(condition.concerns(&documents, &no_time), [true]);
        assert_eq!(condition.concerns(&documents, &Deadline::default()), [true]);
        condition.pause.lock().end();
        assert_eq!(
            condition.concerns(&documents, &Deadline::default()),
            [false]
        );
    }
}
