//! Rights as arguments: `everything`, a collection, or `COLLECTION WHERE CONDITION`; or a file with all of them.

use super::args::Terms;
use super::files;
use crate::cli::CliError;
use sedge::check_writable_collection_name;
use sedge_crdt::{RightsError, check_permissions, permissions_from_json};
use sedge_identity::{CertificateRequest, Permissions, Rights};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

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
pub(super) fn permissions(terms: &Terms, issuers: &Permissions) -> Result<Permissions, CliError> {
    if let Some(file) = &terms.permissions {
        let read = permissions_from_json(&files::text(file)?);
        return read.map_err(|error| failed(file, &error));
    }
    if terms.read.is_empty() && terms.write.is_empty() {
        return Ok(issuers.clone());
    }
    Ok(Permissions {
        read: rights("--read", &terms.read)?,
        write: rights("--write", &terms.write)?,
    })
}

/// Refuses what would give nothing, with the argument that asks for it.
pub(super) fn check(request: &CertificateRequest, terms: &Terms) -> Result<(), CliError> {
    let checked = check_permissions(request);
    checked.map_err(|error| match (&terms.permissions, error) {
        (
            None,
            RightsError::Rule {
                direction,
                text,
                error,
                ..
            },
        ) => CliError::Usage(format!("--{direction}: the condition {text:?}: {error}")),
        (Some(file), error @ RightsError::Rule { .. }) => failed(file, &error),
        (_, error) => CliError::Usage(format!("--claim: {error}")),
    })
}

fn failed(file: &Path, error: &RightsError) -> CliError {
    CliError::Failed(format!("{}: {error}", file.display()))
}

fn rights(flag: &str, rules: &[Rule]) -> Result<Rights, CliError> {
    let mut collections: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for rule in rules {
        let Rule::Collection { name, condition } = rule else {
            if rules.len() > 1 {
                let twice = format!("{flag} everything leaves nothing for another {flag}");
                return Err(CliError::Usage(twice));
            }
            return Ok(Rights::Everything);
        };
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
    use sedge_identity::DeviceKey;

    fn terms(read: &[&str], write: &[&str]) -> Terms {
        let rules = |texts: &[&str]| texts.iter().map(|text| rule(text).unwrap()).collect();
        Terms {
            life: None,
            read: rules(read),
            write: rules(write),
            permissions: None,
        }
    }

    /// Goal: each form of a right is read, and what is none is refused.
    #[test]
    fn rights_are_read() {
        let all = Permissions::everything();
        assert_eq!(permissions(&terms(&[], &[]), &all).unwrap(), all);
        let given = terms(&["cars", "bikes where km > 5", "bikes WHERE old"], &[]);
        let Permissions { read, write } = permissions(&given, &all).unwrap();
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

    /// Goal: a condition is refused with its flag and place, a claim with its own; everything stands alone.
    #[test]
    fn wrong_rights_are_refused() {
        let refused = |read: &[&str], write: &[&str], claim: &str| {
            let terms = terms(read, write);
            let all = Permissions::everything();
            let subject = DeviceKey::from_seed([1; 32]).public();
            let given = permissions(&terms, &all).and_then(|permissions| {
                let request = CertificateRequest {
                    permissions,
                    claims: claims(vec![(claim.to_owned(), "berlin".to_owned())])?,
                    ..CertificateRequest::development(subject, "till-1")
                };
                check(&request, &terms)
            });
            let error = given.unwrap_err();
            assert!(error.is_usage());
            error.to_string()
        };
        let write = refused(&[], &["cars WHERE _id.shop = :shop AND km > 5"], "shop");
        assert!(
            write.contains("--write") && write.contains("column 22"),
            "{write}"
        );
        let claim = refused(&["cars WHERE shop = :shap"], &[], "shop");
        assert!(
            claim.contains("--read") && claim.contains("did you mean shop?"),
            "{claim}"
        );
        assert!(refused(&["everything", "cars"], &[], "shop").contains("everything"));
        assert!(refused(&[], &[], "_name").contains("--claim: "));
    }
}
