//! A list or text that is set to another value becomes it by the difference: what both begin and end with stays, so that
//! concurrent edits of different places both survive.

use super::writer::{Seen, Writer, op_id};
use crate::document::visible::value_of;
use crate::limits::SPLICE_OPS_MAX;
use crate::value::Value;
use automerge::legacy::{ElementId, Key, ObjectId, OpId, OpType};
use automerge::{Automerge, ObjId, ObjType, ReadDoc, ScalarValueRef, ValueRef};

/// One item or character that a loaded document shows.
struct Element<T> {
    shown: T,
    /// The operation that made it.
    id: OpId,
    /// All operations that a deletion replaces.
    predecessors: Vec<OpId>,
}

impl Writer<'_> {
    /// Makes the list or text that readers see there equal to `wanted` by its difference; `false` when they see another
    /// type, or when writing it anew takes fewer operations than a change may have and the difference more.
    pub(super) fn splice(&mut self, seen: &Seen, wanted: &Value) -> bool {
        let (Some(document), Some((automerge::Value::Object(kind), id))) =
            (self.document, seen.others.last())
        else {
            return false;
        };
        let Some(object) = op_id(id).map(ObjectId::Id) else {
            return false;
        };
        match (kind, wanted) {
            (ObjType::List, Value::List(wanted)) => {
                let shown = |value: &ValueRef<'_>, id: &ObjId| value_of(document, value, id);
                elements(document, id, shown).is_some_and(|elements| {
                    self.replace_middle(&object, &elements, wanted, Self::put_item)
                })
            }
            (ObjType::Text, Value::Text(wanted)) => {
                let wanted: Vec<char> = wanted.chars().collect();
                elements(document, id, character).is_some_and(|elements| {
                    self.replace_middle(&object, &elements, &wanted, |writer, text, after, it| {
                        writer.put_character(text, after, *it)
                    })
                })
            }
            _ => false,
        }
    }

    fn replace_middle<T: PartialEq>(
        &mut self,
        object: &ObjectId,
        elements: &[Element<T>],
        wanted: &[T],
        put: impl Fn(&mut Self, &ObjectId, ElementId, &T) -> ElementId,
    ) -> bool {
        let same = |(element, wanted): &(&Element<T>, &T)| element.shown == **wanted;
        let start = elements.iter().zip(wanted).take_while(same).count();
        let (kept, elements) = elements.split_at(start);
        let wanted = wanted.get(start..).unwrap_or_default();
        let ends = elements.iter().rev().zip(wanted.iter().rev());
        let end = ends.take_while(same).count();
        let removed = &elements[..elements.len() - end];
        let added = &wanted[..wanted.len() - end];
        if removed.len() + added.len() > SPLICE_OPS_MAX {
            return false;
        }
        for element in removed {
            let key = Key::Seq(ElementId::Id(element.id.clone()));
            let predecessors = element.predecessors.clone();
            self.push(OpType::Delete, object.clone(), key, predecessors, false);
        }
        let before = kept.last().map(|element| ElementId::Id(element.id.clone()));
        let mut after = before.unwrap_or(ElementId::Head);
        for item in added {
            after = put(self, object, after, item);
        }
        true
    }
}

/// The elements of a list or text; `None` if there is one that `shown` makes nothing of.
fn elements<T>(
    document: &Automerge,
    list: &ObjId,
    shown: impl Fn(&ValueRef<'_>, &ObjId) -> Option<T>,
) -> Option<Vec<Element<T>>> {
    let items = document.list_range(list, ..);
    let element = |item: automerge::iter::ListRangeItem<'_>| {
        let id = item.id();
        let predecessors = match item.conflict {
            true => document.get_all(list, item.index).unwrap_or_default(),
            false => Vec::new(),
        };
        let own = op_id(&id)?;
        let mut predecessors: Vec<OpId> = predecessors
            .iter()
            .filter_map(|(_, id)| op_id(id))
            .collect();
        if predecessors.is_empty() {
            predecessors.push(own.clone());
        }
        Some(Element {
            shown: shown(&item.value, &id)?,
            id: own,
            predecessors,
        })
    };
    items.map(element).collect()
}

/// The one character of a text's element.
fn character(value: &ValueRef<'_>, _: &ObjId) -> Option<char> {
    let ValueRef::Scalar(ScalarValueRef::Str(text)) = value else {
        return None;
    };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Some(character),
        _ => None,
    }
}
