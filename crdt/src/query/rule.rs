//! Permission rules: the conditions that a certificate carries, and what one may look at. It is the same before it is signed
//! and whenever it is evaluated.

use super::Params;
use super::ast::{Expr, ExprKind, Segment};
use super::error::{QueryError, did_you_mean, excerpt};
use super::expression::INFIX_WORDS;
use super::filter::Filter;
use super::functions::Function;
use super::parser::Parser;
use std::collections::BTreeSet;

/// What a rule may look at, beside what its certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleScope {
    /// Every field of the document, for reading.
    Document,
    /// Its `_id` alone, for writing: what can't change, so that every peer decides alike.
    Id,
}

/// The condition that a rule is, with `params` in the place of what it names as `:NAME`. They may be more than it names.
///
/// # Errors
/// It is no condition, looks beyond its scope, or names none of `params`: says what is wrong at which line and column.
pub(crate) fn rule(text: &str, scope: RuleScope, params: &Params) -> Result<Filter, QueryError> {
    let mut parser = Parser::new(text)?;
    let mut condition = parser.expression()?;
    parser.end("the end of the rule", &INFIX_WORDS)?;
    check_scope(&condition, scope, params)?;
    condition.bind(params, &mut BTreeSet::new())?;
    let rule = Filter::new(Some(condition));
    rule.check()?;
    Ok(rule)
}

fn check_scope(expr: &Expr, scope: RuleScope, params: &Params) -> Result<(), QueryError> {
    match &expr.kind {
        ExprKind::Path(path) if scope == RuleScope::Id && !is_within_id(path) => {
            return Err(expr.at.error(
                "a rule for writing looks at _id and the certificate's claims only, because all other fields can change",
            ));
        }
        ExprKind::Call(Function::Lower | Function::Upper | Function::Trim, _)
            if scope == RuleScope::Id =>
        {
            return Err(expr.at.error(
                "a rule for writing has no LOWER, UPPER or TRIM: what they make of some letters depends on the version of \
                 Unicode, and every peer must decide alike",
            ));
        }
        ExprKind::Parameter(name) if !params.contains_key(name) => {
            let near = did_you_mean(name, params.keys().map(String::as_str));
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
            outcome = check_scope(child, scope, params);
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

    fn read(text: &str, scope: RuleScope) -> Result<Filter, QueryError> {
        let claims = [("team", "blue"), ("shop", "berlin")];
        let params = claims.map(|(name, text)| (name.to_owned(), text.into()));
        rule(text, scope, &params.into())
    }

    /// Goal: a rule for writing sees `_id`, whole or in parts, and claims; one for reading sees every field.
    #[test]
    fn rules_look_within_their_scope() {
        for rule in [
            "true",
            "_id == 'x'",
            "_id.shop = :shop AND _id.n IN (1, 2)",
            "CASE WHEN _id LIKE 'a%' THEN :team = 'blue' ELSE false END",
        ] {
            let read = read(rule, RuleScope::Id);
            assert!(read.is_ok(), "{rule}: {read:?}");
        }
        let rule = "TRIM(owner.name) = :team OR _id = 1";
        assert!(read(rule, RuleScope::Document).is_ok());
        for (rule, column) in [
            (rule, 1),
            ("_id = 1 AND (2 < n OR true)", 18),
            ("_id IN (1, place)", 12),
            ("_id = COALESCE(1, CONFLICTS(a))", 29),
            ("_id = 'a' OR NOT LOWER(_id) = 'b'", 18),
            ("TRIM(:team) = _id", 1),
        ] {
            let error = read(rule, RuleScope::Id).unwrap_err();
            assert_eq!(error.column, Some(column), "{rule}: {error}");
            assert!(error.message.contains("for writing"), "{error}");
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
            (":team", 1, "condition"),
            ("", 1, "expression"),
        ] {
            let error = read(rule, RuleScope::Id).unwrap_err();
            assert_eq!(error.column, Some(column), "{rule}: {error}");
            assert!(error.message.contains(part), "{error}");
        }
    }
}
