//! Permission rules: the conditions that a certificate carries. What one may look at is checked before it is signed.

use super::ast::{Expr, ExprKind, Segment};
use super::error::{QueryError, did_you_mean, excerpt};
use super::expression::INFIX_WORDS;
use super::filter::Filter;
use super::parser::Parser;

/// What a rule may look at, beside the claims of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleScope {
    /// Every field of the document, for reading.
    Document,
    /// Its `_id` alone, for writing: what can't change, so that every peer decides alike.
    Id,
}

/// Refuses a rule that is no condition, looks beyond its scope, or names a claim (as `:NAME`) that is none of `claims`.
///
/// # Errors
/// Says what is wrong at which line and column.
pub fn check_rule(text: &str, scope: RuleScope, claims: &[&str]) -> Result<(), QueryError> {
    let mut parser = Parser::new(text)?;
    let condition = parser.expression()?;
    parser.end("the end of the rule", &INFIX_WORDS)?;
    check_scope(&condition, scope, claims)?;
    Filter::new(Some(condition)).check()
}

fn check_scope(expr: &Expr, scope: RuleScope, claims: &[&str]) -> Result<(), QueryError> {
    match &expr.kind {
        ExprKind::Path(path) if scope == RuleScope::Id && !is_within_id(path) => {
            return Err(expr.at.error(
                "a rule for writing looks at _id and the certificate's claims only, because all other fields can change",
            ));
        }
        ExprKind::Parameter(name) if !claims.contains(&name.as_str()) => {
            let near = did_you_mean(name, claims.iter().copied());
            return Err(expr.at.error(format!(
                "the certificate has no claim {:?}{near}",
                excerpt(name)
            )));
        }
        _ => {}
    }
    let mut outcome = Ok(());
    expr.kind.for_each_child(&mut |child| {
        if outcome.is_ok() {
            outcome = check_scope(child, scope, claims);
        }
    });
    outcome
}

fn is_within_id(path: &[Segment]) -> bool {
    matches!(path.first(), Some(Segment::Name(name)) if name == "_id")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: [&str; 2] = ["team", "shop"];

    /// Goal: a rule for writing sees `_id`, whole or in parts, and claims; one for reading sees every field.
    #[test]
    fn rules_look_within_their_scope() {
        for rule in [
            "true",
            "_id == 'x'",
            "_id.shop = :shop AND _id.n IN (1, 2)",
            "CASE WHEN _id LIKE 'a%' THEN :team = 'blue' ELSE false END",
        ] {
            assert_eq!(check_rule(rule, RuleScope::Id, &CLAIMS), Ok(()), "{rule}");
        }
        let rule = "LOWER(owner.name) = :team OR _id = 1";
        assert_eq!(check_rule(rule, RuleScope::Document, &CLAIMS), Ok(()));
        for (rule, column) in [
            (rule, 7),
            ("_id = 1 AND (2 < n OR true)", 18),
            ("_id IN (1, place)", 12),
            ("_id = COALESCE(1, CONFLICTS(a))", 29),
        ] {
            let error = check_rule(rule, RuleScope::Id, &CLAIMS).unwrap_err();
            assert_eq!(error.column, Some(column), "{rule}: {error}");
            assert!(error.message.contains("_id"), "{error}");
        }
    }

    /// Goal: what is no condition, or more than one, or names no claim, is refused at its place.
    #[test]
    fn what_is_no_rule_is_refused() {
        for (rule, column, part) in [
            ("_id = :tean", 7, "did you mean team?"),
            ("_id = 1 ORDER BY _id", 9, "end of the rule"),
            ("_id = 1; true", 10, "second statement"),
            ("COUNT(*) > 1", 1, "COUNT"),
            ("1 + 1", 3, "condition"),
            ("", 1, "expression"),
        ] {
            let error = check_rule(rule, RuleScope::Id, &CLAIMS).unwrap_err();
            assert_eq!(error.column, Some(column), "{rule}: {error}");
            assert!(error.message.contains(part), "{error}");
        }
    }
}
