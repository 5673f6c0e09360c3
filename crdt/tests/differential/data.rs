//! The documents that queries run over.

use super::generate::Random;
use super::tree::{Field, Kind, Step};
use sedge_crdt::{Value, parse_json};
use std::collections::BTreeMap;
use std::path::Path;

/// A data set and the fields that queries name.
pub(crate) struct Data {
    pub(crate) name: &'static str,
    pub(crate) documents: Vec<Value>,
    pub(crate) fields: Vec<Field>,
}

impl Data {
    pub(crate) fn airports() -> Self {
        let fields = [
            ("_id", Kind::Text),
            ("name", Kind::Text),
            ("place.city", Kind::Text),
            ("place.state", Kind::Text),
            ("place.country", Kind::Text),
            ("place.state.none", Kind::Absent),
            ("place", Kind::Map),
            ("location.latitude", Kind::Number),
            ("location.longitude", Kind::Number),
            ("elevation", Kind::Absent),
        ];
        Self::of_file("airports", &fields)
    }

    pub(crate) fn cars() -> Self {
        let fields = [
            ("_id", Kind::Text),
            ("Name", Kind::Text),
            ("Miles_per_Gallon", Kind::Number),
            ("Cylinders", Kind::Int),
            ("Displacement", Kind::Number),
            ("Horsepower", Kind::Int),
            ("Weight_in_lbs", Kind::Int),
            ("Acceleration", Kind::Number),
            ("Year", Kind::Text),
            ("Origin", Kind::Text),
            ("Owner", Kind::Absent),
        ];
        Self::of_file("cars", &fields)
    }

    pub(crate) fn movies() -> Self {
        let fields = [
            ("_id", Kind::Text),
            ("Title", Kind::Mixed),
            ("US Gross", Kind::Int),
            ("Worldwide Gross", Kind::Int),
            ("US DVD Sales", Kind::Int),
            ("Production Budget", Kind::Int),
            ("Release Date", Kind::Text),
            ("MPAA Rating", Kind::Text),
            ("Running Time min", Kind::Int),
            ("Distributor", Kind::Text),
            ("Major Genre", Kind::Text),
            ("Director", Kind::Text),
            ("Rotten Tomatoes Rating", Kind::Int),
            ("IMDB Rating", Kind::Number),
            ("IMDB Votes", Kind::Int),
            ("Sequel of", Kind::Absent),
        ];
        Self::of_file("movies", &fields)
    }

    /// Documents in which anything may be missing, null or of another type than in the next one.
    pub(crate) fn odd(count: usize) -> Self {
        let fields = [
            ("_id", Kind::Text),
            ("int", Kind::Int),
            ("number", Kind::Number),
            ("text", Kind::Text),
            ("flag", Kind::Bool),
            ("mixed", Kind::Mixed),
            ("deep.blend", Kind::Mixed),
            ("deep.er text.count", Kind::Int),
            ("list", Kind::List),
            ("list.0", Kind::Mixed),
            ("list.2", Kind::Mixed),
            ("none", Kind::Absent),
            ("text.none", Kind::Absent),
        ];
        let mut random = Random::new(7);
        Self {
            name: "odd",
            documents: (0..count).map(|index| odd(index, &mut random)).collect(),
            fields: fields
                .iter()
                .map(|(path, kind)| field(path, *kind))
                .collect(),
        }
    }

    fn of_file(name: &'static str, fields: &[(&'static str, Kind)]) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data");
        let text = std::fs::read_to_string(folder.join(format!("{name}.ndjson"))).unwrap();
        Self {
            name,
            documents: text.lines().map(|line| parse_json(line).unwrap()).collect(),
            fields: fields
                .iter()
                .map(|(path, kind)| field(path, *kind))
                .collect(),
        }
    }

    /// Every so manieth document.
    pub(crate) fn sample(&self, count: usize) -> Self {
        let stride = self.documents.len().div_ceil(count).max(1);
        Self {
            documents: self.documents.iter().step_by(stride).cloned().collect(),
            fields: self.fields.clone(),
            name: self.name,
        }
    }

    pub(crate) fn absent(&self) -> Field {
        let absent = self.fields.iter().find(|field| field.kind == Kind::Absent);
        absent.unwrap().clone()
    }

    pub(crate) fn at<'a>(&self, document: &'a Value, field: &Field) -> Option<&'a Value> {
        field
            .path
            .iter()
            .try_fold(document, |value, step| match (step, value) {
                (Step::Name(name), value) => value.get(name),
                (Step::Index(index), Value::List(items)) => items.get(*index),
                _ => None,
            })
    }
}

/// A field by its dotted path; a step of digits is an index.
fn field(path: &'static str, kind: Kind) -> Field {
    let step = |step: &'static str| step.parse().map_or(Step::Name(step), Step::Index);
    Field {
        path: path.split('.').map(step).collect(),
        kind,
    }
}

fn odd(index: usize, random: &mut Random) -> Value {
    let mut members = BTreeMap::from([("_id".to_owned(), format!("odd-{index:04}").into())]);
    let mut deep = BTreeMap::new();
    for (name, kind) in [
        ("int", Kind::Int),
        ("number", Kind::Number),
        ("text", Kind::Text),
        ("flag", Kind::Bool),
        ("mixed", Kind::Mixed),
    ] {
        members.extend(odd_value(kind, random).map(|value| (name.to_owned(), value)));
    }
    deep.extend(odd_value(Kind::Mixed, random).map(|value| ("blend".to_owned(), value)));
    if let Some(value) = odd_value(Kind::Int, random) {
        deep.insert(
            "er text".to_owned(),
            Value::Map(BTreeMap::from([("count".to_owned(), value)])),
        );
    }
    // No floats: lists that differ in 2 and 2.0 are equal here, and different texts there.
    let item = |random: &mut Random| {
        let kind = *random.pick(&[Kind::Int, Kind::Text]);
        odd_value(kind, random).unwrap_or(Value::Null)
    };
    let list = Value::List((0..random.below(4)).map(|_| item(random)).collect());
    if !random.one_in(4) {
        members.insert(
            "list".to_owned(),
            if random.one_in(5) { Value::Null } else { list },
        );
    }
    if !random.one_in(4) {
        members.insert("deep".to_owned(), Value::Map(deep));
    }
    Value::Map(members)
}

/// `None` is MISSING.
fn odd_value(kind: Kind, random: &mut Random) -> Option<Value> {
    const TEXTS: [&str; 9] = ["", "a", "A", "ab", "1", "a%b_c", "it's", " x ", "zebra"];
    const FLOATS: [f64; 6] = [-1.5, 0.0, 0.5, 2.0, 1e10, -0.25];
    match random.below(8) {
        0 => return None,
        1 => return Some(Value::Null),
        _ => {}
    }
    let int = |random: &mut Random| Value::Int(random.below(12) as i64 - 4);
    Some(match (kind, random.below(3)) {
        (Kind::Bool, _) => Value::Bool(random.one_in(2)),
        (Kind::Int, _) | (Kind::Number | Kind::Mixed, 0) => int(random),
        (Kind::Number, _) | (Kind::Mixed, 1) => Value::Float(*random.pick(&FLOATS)),
        _ => Value::String((*random.pick(&TEXTS)).to_owned()),
    })
}
