//! What a change did to the fields that readers see.

use crate::limits::CHANGED_PATHS_BYTES_MAX;
use crate::query::path_text;
use crate::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Carried out on what was there before, first `unset` and then `set`, it gives what was there after; an inserted document
/// begins with nothing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Effect {
    pub(super) inserted: bool,
    pub(super) deleted: bool,
    /// New values by path, as statements write paths.
    pub(super) set: BTreeMap<String, Value>,
    /// Paths of what is gone.
    pub(super) unset: Vec<String>,
    path_bytes: usize,
}

/// A field with its values before and after.
pub(super) type Field<'a> = (&'a str, Option<Value>, Option<Value>);

impl Effect {
    pub(super) fn deletion() -> Self {
        Self {
            deleted: true,
            ..Self::default()
        }
    }

    /// Of changed fields; where both values are maps, member by member.
    pub(super) fn of(fields: &[Field<'_>]) -> Self {
        let mut effect = Self::default();
        for (name, before, after) in fields {
            effect.compare(&mut vec![name], before.as_ref(), after.as_ref());
        }
        if effect.path_bytes > CHANGED_PATHS_BYTES_MAX {
            effect = Self::default(); // then field by field is exact enough
            for (name, before, after) in fields {
                if before != after {
                    effect.note(&[name], after.as_ref());
                }
            }
        }
        effect
    }

    fn compare<'a>(
        &mut self,
        path: &mut Vec<&'a str>,
        before: Option<&'a Value>,
        after: Option<&'a Value>,
    ) {
        match (before, after) {
            (before, after) if before == after => {}
            (Some(Value::Map(before)), Some(Value::Map(after)))
                if !before.is_empty() && !after.is_empty() =>
            {
                let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
                for name in names {
                    path.push(name);
                    self.compare(path, before.get(name), after.get(name));
                    path.pop();
                }
            }
            _ => {
                self.path_bytes += path.iter().map(|name| name.len()).sum::<usize>();
                if self.path_bytes <= CHANGED_PATHS_BYTES_MAX {
                    self.note(path, after);
                }
            }
        }
    }

    fn note(&mut self, path: &[&str], after: Option<&Value>) {
        let path = path_text(path);
        match after {
            Some(after) => drop(self.set.insert(path, after.clone())),
            None => self.unset.push(path),
        }
    }
}
