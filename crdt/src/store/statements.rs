//! The statements of late, parsed: an app runs the same few over and over, with other parameters.

use crate::limits::{STATEMENT_KEPT_BYTES_MAX, STATEMENTS_KEPT_MAX};
use crate::query::{QueryError, Statement};
use hashlink::LruCache;
use parking_lot::Mutex;
use std::sync::Arc;

pub(super) struct Statements(Mutex<LruCache<Box<str>, Arc<Statement>>>);

impl Statements {
    pub(super) fn new() -> Self {
        Self(Mutex::new(LruCache::new(STATEMENTS_KEPT_MAX)))
    }

    /// As [`Statement::parse`].
    pub(super) fn parse(&self, text: &str) -> Result<Statement, QueryError> {
        let kept = self.0.lock().get(text).cloned();
        if let Some(statement) = kept {
            return Ok(Statement::clone(&statement));
        }
        let statement = Statement::parse(text)?;
        if text.len() <= STATEMENT_KEPT_BYTES_MAX {
            let kept = Arc::new(statement.clone());
            self.0.lock().insert(text.into(), kept);
        }
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a statement that is kept is the parsed one, a wrong one stays wrong, and what is kept is bounded.
    #[test]
    fn statements_are_kept_within_bounds() {
        let statements = Statements::new();
        let text = "SELECT a FROM c WHERE _id = :id";
        for _ in 0..2 {
            let parsed = statements.parse(text).unwrap();
            assert_eq!(parsed, Statement::parse(text).unwrap());
            assert!(statements.parse("SELEKT 1").is_err());
        }
        assert_eq!(statements.0.lock().len(), 1);
        let long = format!(
            "SELECT a FROM c WHERE b = '{}'",
            "x".repeat(STATEMENT_KEPT_BYTES_MAX)
        );
        statements.parse(&long).unwrap();
        assert_eq!(statements.0.lock().len(), 1);
        for n in 0..=STATEMENTS_KEPT_MAX {
            statements.parse(&format!("SELECT a{n} FROM c")).unwrap();
        }
        assert_eq!(statements.0.lock().len(), STATEMENTS_KEPT_MAX);
    }
}
