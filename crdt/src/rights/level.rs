//! One certificate of a chain, in one direction: its rules by collection, compiled.

use super::denied::Denied;
use super::error::{Direction, RightsError};
use crate::id::DocumentId;
use crate::limits::{READ_RULES_STEPS_MAX, RULES_IN_PLACE_BYTES_MAX, WRITE_RULES_STEPS_MAX};
use crate::query::{Filter, Params, QueryError, RuleScope, Work, rule};
use crate::value::{Encoded, Value};
use sedge_identity::{
    Certificate, CertificateKind, CertificateRequest, Permissions, PublicKey, RIGHTS_QUERIES_MAX,
    Rights,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The mark of names that rules have for a certificate's own fields.
const OWN: char = '_';

/// Whom a certificate is about, and what its rules can name of it.
pub(super) struct Subject<'a> {
    name: &'a str,
    kind: CertificateKind,
    key: PublicKey,
    user_id: Option<&'a str>,
    claims: &'a BTreeMap<String, String>,
}

impl<'a> From<&'a Certificate> for Subject<'a> {
    fn from(certificate: &'a Certificate) -> Self {
        Self {
            name: &certificate.name,
            kind: certificate.kind,
            key: certificate.subject,
            user_id: certificate.user_id.as_deref(),
            claims: &certificate.claims,
        }
    }
}

impl<'a> From<&'a CertificateRequest> for Subject<'a> {
    fn from(request: &'a CertificateRequest) -> Self {
        Self {
            name: &request.name,
            kind: request.kind,
            key: request.subject,
            user_id: request.user_id.as_deref(),
            claims: &request.claims,
        }
    }
}

impl Subject<'_> {
    /// What rules name: each claim, and the certificate's own fields under names that no claim has.
    fn params(&self) -> Params {
        let own = [
            ("_name", Some(self.name.to_owned())),
            ("_subject", Some(self.key.to_string())),
            ("_userId", self.user_id.map(str::to_owned)),
        ];
        let own = own
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), text?.into())));
        let claims = self.claims.iter().filter(|(name, _)| !is_reserved(name));
        claims
            .map(|(name, text)| (name.clone(), text.clone().into()))
            .chain(own)
            .collect()
    }
}

fn is_reserved(claim: &str) -> bool {
    claim.starts_with(OWN)
}

/// Refuses what would give nothing.
pub(super) fn check(subject: &Subject<'_>, permissions: &Permissions) -> Result<(), RightsError> {
    if let Some(name) = subject.claims.keys().find(|name| is_reserved(name)) {
        return Err(RightsError::ReservedClaim(name.clone()));
    }
    let params = subject.params();
    let directions = [
        (Direction::Read, &permissions.read),
        (Direction::Write, &permissions.write),
    ];
    for (direction, rights) in directions {
        let Rights::Collections(collections) = rights else {
            continue;
        };
        for (collection, text) in collections
            .iter()
            .flat_map(|(collection, texts)| texts.iter().map(move |text| (collection, text)))
        {
            rule(text, scope(direction), &params).map_err(|error| RightsError::Rule {
                direction,
                collection: collection.clone(),
                text: text.clone(),
                error,
            })?;
        }
    }
    Ok(())
}

fn scope(direction: Direction) -> RuleScope {
    match direction {
        Direction::Read => RuleScope::Document,
        Direction::Write => RuleScope::Id,
    }
}

/// A certificate that withholds something.
#[derive(Debug)]
pub(super) struct Level {
    direction: Direction,
    /// Whose certificate it is.
    holder: Arc<str>,
    kind: CertificateKind,
    collections: BTreeMap<String, Rules>,
}

/// The rules of a certificate for one collection, of which a document must satisfy one.
#[derive(Debug)]
struct Rules {
    /// One of them is satisfied by every document.
    give_all: bool,
    /// Those that are conditions, in the order of the certificate.
    filters: Vec<Filter>,
    /// All of them, to be told.
    told: Arc<[TriedRule]>,
}

/// A rule as a refusal tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedRule {
    /// Its text in the certificate.
    pub text: String,
    /// Why it gives nothing, whatever the document.
    pub error: Option<QueryError>,
}

impl Level {
    /// `None` for a certificate that withholds nothing.
    pub(super) fn of(direction: Direction, subject: &Subject<'_>, rights: &Rights) -> Option<Self> {
        let Rights::Collections(collections) = rights else {
            return None;
        };
        let params = subject.params();
        let compiled = collections
            .iter()
            .map(|(name, texts)| (name.clone(), Rules::of(scope(direction), texts, &params)));
        Some(Self {
            direction,
            holder: subject.name.into(),
            kind: subject.kind,
            collections: compiled.collect(),
        })
    }

    /// Whether it gives every document of the collection, as is plain to see.
    pub(super) fn gives_all_of(&self, collection: &str) -> bool {
        self.collections
            .get(collection)
            .is_some_and(|rules| rules.give_all)
    }

    /// Whether it gives a document.
    pub(super) fn gives(&self, collection: &str, document: &Value) -> bool {
        self.any_rule(collection, |filter, work| filter.matches(document, work))
    }

    /// As [`gives`](Self::gives), and with the same answer.
    pub(super) fn gives_encoded(&self, collection: &str, document: Encoded<'_>) -> bool {
        self.any_rule(collection, |filter, work| {
            filter.matches_encoded(document, work)
        })
    }

    fn any_rule(
        &self,
        collection: &str,
        holds: impl Fn(&Filter, &Work<'_>) -> Result<bool, QueryError>,
    ) -> bool {
        let Some(rules) = self.collections.get(collection) else {
            return false;
        };
        let work = Work::metered(match self.direction {
            Direction::Read => READ_RULES_STEPS_MAX,
            Direction::Write => WRITE_RULES_STEPS_MAX,
        });
        let mut filters = rules.filters.iter();
        rules.give_all || filters.any(|filter| holds(filter, &work).unwrap_or(false))
    }

    /// What is said of a document that it does not give.
    pub(super) fn denied(&self, collection: &str, id: &DocumentId) -> Denied {
        let rules = self.collections.get(collection);
        Denied {
            direction: self.direction,
            collection: collection.to_owned(),
            id: id.clone(),
            holder: Arc::clone(&self.holder),
            kind: self.kind,
            rules: rules.map_or_else(Arc::default, |rules| Arc::clone(&rules.told)),
        }
    }
}

impl Rules {
    fn of(scope: RuleScope, texts: &[String], params: &Params) -> Self {
        let mut filters = Vec::new();
        let told = texts.iter().take(RIGHTS_QUERIES_MAX).map(|text| TriedRule {
            text: text.clone(),
            error: match rule(text, scope, params) {
                Ok(filter) => {
                    filters.push(filter);
                    None
                }
                Err(error) => Some(error),
            },
        });
        let told = told.collect();
        Self {
            give_all: filters.iter().any(Filter::is_always),
            filters,
            told,
        }
    }
}

/// Whether rules may read a document of this form where it lies.
pub(super) fn in_place(document: &[u8]) -> bool {
    document.len() <= RULES_IN_PLACE_BYTES_MAX
}
