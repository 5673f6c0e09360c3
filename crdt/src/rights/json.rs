//! Permissions as JSON, the form in which people and services hand them to an issuer:
//!
//! ```json
//! {"read": {"everything": true}, "write": {"everything": false, "queriesByCollection": {"cars": ["_id.shop = :shop"]}}}
//! ```

use super::error::RightsError;
use crate::limits::PERMISSIONS_JSON_BYTES_MAX;
use crate::query::check_writable_collection_name;
use sedge_identity::{Permissions, Rights};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

/// Reads permissions. What is left out is no right.
///
/// # Errors
/// [`RightsError::Json`] for a text that is too long, or none of permissions: an unknown or repeated member, a name that
/// no collection can have, a direction with both everything and rules. Whether the rules are any is not looked at: see
/// [`check_permissions`](super::check_permissions).
pub fn permissions_from_json(text: &str) -> Result<Permissions, RightsError> {
    let wrong = |reason: String| RightsError::Json(reason);
    if text.len() > PERMISSIONS_JSON_BYTES_MAX {
        return Err(wrong(format!(
            "the permissions have {} bytes, the limit is {PERMISSIONS_JSON_BYTES_MAX}",
            text.len()
        )));
    }
    let read: WirePermissions =
        serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    Ok(Permissions {
        read: read.read.rights("read").map_err(wrong)?,
        write: read.write.rights("write").map_err(wrong)?,
    })
}

/// Permissions as [`permissions_from_json`] reads them, except that both members of a direction are always there.
pub fn permissions_to_json(permissions: &Permissions) -> serde_json::Value {
    let rights = |rights: &Rights| match rights {
        Rights::Everything => serde_json::json!({ "everything": true, "queriesByCollection": {} }),
        Rights::Collections(collections) => {
            serde_json::json!({ "everything": false, "queriesByCollection": collections })
        }
    };
    serde_json::json!({ "read": rights(&permissions.read), "write": rights(&permissions.write) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WirePermissions {
    #[serde(default)]
    read: WireRights,
    #[serde(default)]
    write: WireRights,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireRights {
    #[serde(default)]
    everything: bool,
    #[serde(default)]
    queries_by_collection: Queries,
}

impl WireRights {
    fn rights(self, direction: &str) -> Result<Rights, String> {
        let Queries(collections) = self.queries_by_collection;
        if self.everything && !collections.is_empty() {
            return Err(format!(
                "{direction}: everything leaves nothing for queriesByCollection"
            ));
        }
        for name in collections.keys() {
            check_writable_collection_name(name)
                .map_err(|reason| format!("{direction}: {reason}"))?;
        }
        Ok(match self.everything {
            true => Rights::Everything,
            false => Rights::Collections(collections),
        })
    }
}

/// By collection, none of which is named twice.
#[derive(Default)]
struct Queries(BTreeMap<String, Vec<String>>);

impl<'de> Deserialize<'de> for Queries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(QueriesVisitor)
    }
}

struct QueriesVisitor;

impl<'de> Visitor<'de> for QueriesVisitor {
    type Value = Queries;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of rules by collection")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Queries, A::Error> {
        let mut collections = BTreeMap::new();
        while let Some(name) = access.next_key::<String>()? {
            match collections.entry(name) {
                Entry::Vacant(slot) => slot.insert(access.next_value()?),
                Entry::Occupied(slot) => {
                    let twice = format!("collection {:?} is given twice", slot.key());
                    return Err(A::Error::custom(twice));
                }
            };
        }
        Ok(Queries(collections))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: permissions are the same after they were written and read; what is left out is no right.
    #[test]
    fn permissions_survive_json() {
        let rules = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let listed = [
            ("bikes".to_owned(), Vec::new()),
            ("cars".to_owned(), rules(&["_id == 'x'", "true"])),
        ];
        for permissions in [
            Permissions::everything(),
            Permissions::nothing(),
            Permissions {
                read: Rights::Everything,
                write: Rights::Collections(listed.clone().into()),
            },
        ] {
            let text = permissions_to_json(&permissions).to_string();
            assert_eq!(permissions_from_json(&text), Ok(permissions), "{text}");
        }
        let text = r#"{"write":{"queriesByCollection":{"cars":["_id == 'x'","true"],"bikes":[]}}}"#;
        let expected = Permissions {
            read: Rights::nothing(),
            write: Rights::Collections(listed.into()),
        };
        assert_eq!(permissions_from_json(text), Ok(expected));
        assert_eq!(permissions_from_json("{}"), Ok(Permissions::nothing()));
    }

    /// Goal: what is misspelt, said twice or contradicts itself is refused with its reason, never read as less or more.
    #[test]
    fn wrong_permissions_are_refused() {
        for (text, reason) in [
            (r#"{"reed":{}}"#, "unknown field `reed`"),
            (
                r#"{"read":{"everythin":true}}"#,
                "unknown field `everythin`",
            ),
            (
                r#"{"read":{},"read":{"everything":true}}"#,
                "duplicate field `read`",
            ),
            (
                r#"{"read":{"queriesByCollection":{"a":["x"],"a":[]}}}"#,
                "collection \"a\" is given twice",
            ),
            (
                r#"{"write":{"everything":true,"queriesByCollection":{"a":[]}}}"#,
                "write: everything leaves nothing",
            ),
            (
                r#"{"write":{"queriesByCollection":{"":[]}}}"#,
                "1 to 128 bytes",
            ),
            (
                r#"{"write":{"queriesByCollection":{"system:peers":[]}}}"#,
                "describe the peer itself",
            ),
            (
                r#"{"read":{"queriesByCollection":{"a":"true"}}}"#,
                "a sequence",
            ),
            (
                r#"{"read":{"queriesByCollection":["a"]}}"#,
                "rules by collection",
            ),
            (r#"{"read":{"everything":1}}"#, "a boolean"),
            (r#"{"read":{}} x"#, "trailing characters"),
            (
                &" ".repeat(PERMISSIONS_JSON_BYTES_MAX + 1),
                "limit is 65536",
            ),
        ] {
            let error = permissions_from_json(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
