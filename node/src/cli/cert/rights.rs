//! Rights as arguments: `everything`, a collection, or `COLLECTION WHERE CONDITION`.

use super::args::Terms;
use crate::cli::CliError;
use sedge::check_writable_collection_name;
use sedge_crdt::query::{RuleScope, check_rule};
use sedge_identity::{Permissions, Rights};
use std::collections::{BTreeMap, BTreeSet};

/// The rule that every document satisfies.
const ALWAYS: &str = "true";

/// One right, as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Every document of every collection.
    Everything,
    /// The documents of a collection that satisfy a condition.
    Collection { name: String, condition: String },
}

/// Reads one right. Its condition is looked at later, when the claims are known.
pub(super) fn rule(text: &str) -> Result<Rule, String> {
    let text = text.trim();
    if text == "everything" {
        return Ok(Rule::Everything);
    }
    let (name, condition) = match text.split_once(char::is_whitespace) {
        None => (text, ALWAYS),
        Some((name, rest)) => match rest.trim_start().split_at_checked("WHERE ".len()) {
            Some((word, condition)) if word.trim_end().eq_ignore_ascii_case("WHERE") => {
                (name, condition.trim())
            }
            _ => return Err("write it like cars, or cars WHERE _id.shop = 'berlin'".to_owned()),
        },
    };
    check_writable_collection_name(name)?;
    Ok(Rule::Collection {
        name: name.to_owned(),
        condition: condition.to_owned(),
    })
}

/// A claim as an argument.
pub(super) fn claim(argument: &str) -> Result<(String, String), String> {
    match argument.split_once('=') {
        Some((name, text)) if !name.is_empty() => Ok((name.to_owned(), text.to_owned())),
        _ => Err("write it like --claim shop=berlin".to_owned()),
    }
}

/// Claims by name, each given once.
pub(super) fn claims(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, CliError> {
    let mut claims = BTreeMap::new();
    for (name, text) in given {
        if claims.insert(name.clone(), text).is_some() {
            return Err(CliError::Usage(format!("--claim {name} is given twice")));
        }
    }
    Ok(claims)
}

/// The permissions that the arguments mean, under an issuer who has `issuers`.
pub(super) fn permissions(
    terms: &Terms,
    claims: &BTreeMap<String, String>,
    issuers: &Permissions,
) -> Result<Permissions, CliError> {
    if terms.read.is_empty() && terms.write.is_empty() {
        return Ok(issuers.clone());
    }
    let claims: Vec<&str> = claims.keys().map(String::as_str).collect();
    Ok(Permissions {
        read: rights("--read", &terms.read, RuleScope::Document, &claims)?,
        write: rights("--write", &terms.write, RuleScope::Id, &claims)?,
    })
}

fn rights(
    flag: &str,
    rules: &[Rule],
    scope: RuleScope,
    claims: &[&str],
) -> Result<Rights, CliError> {
    let mut collections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in rules {
        let Rule::Collection { name, condition } = rule else {
            if rules.len() > 1 {
                let twice = format!("{flag} everything leaves nothing for another {flag}");
                return Err(CliError::Usage(twice));
            }
            return Ok(Rights::Everything);
        };
        check_rule(condition, scope, claims).map_err(|error| {
            CliError::Usage(format!("{flag}: the condition {condition:?}: {error}"))
        })?;
        let conditions = collections.entry(name.clone()).or_default();
        conditions.insert(condition.clone());
    }
    let listed = collections
        .into_iter()
        .map(|(name, conditions)| (name, conditions.into_iter().collect()));
    Ok(Rights::Collections(listed.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(read: &[&str], write: &[&str]) -> Terms {
        let rules = |texts: &[&str]| texts.iter().map(|text| rule(text).unwrap()).collect();
        Terms {
            life: None,
            read: rules(read),
            write: rules(write),
        }
    }

    /// Goal: each form of a right is read, and what is none is refused.
    #[test]
    fn rights_are_read() {
        let none = BTreeMap::new();
        let all = Permissions::everything();
        assert_eq!(permissions(&terms(&[], &[]), &none, &all).unwrap(), all);
        let given = terms(&["cars", "bikes where km > 5", "bikes WHERE old"], &[]);
        let Permissions { read, write } = permissions(&given, &none, &all).unwrap();
        let rules = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let listed = [
            ("bikes".to_owned(), rules(&["km > 5", "old"])),
            ("cars".to_owned(), rules(&["true"])),
        ];
        assert_eq!(read, Rights::Collections(BTreeMap::from(listed)));
        assert_eq!(write, Rights::nothing());
        for wrong in [
            "",
            "cars km > 5",
            "cars WHEREkm",
            "cars WHERE",
            "system:indexes",
        ] {
            assert!(rule(wrong).is_err(), "{wrong:?}");
        }
    }

    /// Goal: a condition is refused with its flag and place; everything stands alone.
    #[test]
    fn wrong_rights_are_refused() {
        let claims = BTreeMap::from([("shop".to_owned(), "berlin".to_owned())]);
        let refused = |read: &[&str], write: &[&str]| {
            let given = permissions(&terms(read, write), &claims, &Permissions::everything());
            given.unwrap_err().to_string()
        };
        let write = refused(&[], &["cars WHERE _id.shop = :shop AND km > 5"]);
        assert!(
            write.contains("--write") && write.contains("column 22"),
            "{write}"
        );
        let claim = refused(&["cars WHERE shop = :shap"], &[]);
        assert!(
            claim.contains("--read") && claim.contains("did you mean shop?"),
            "{claim}"
        );
        assert!(refused(&["everything", "cars"], &[]).contains("everything"));
    }
}
