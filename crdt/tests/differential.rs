//! The same queries in this language and in SQLite's, over the same documents: every row is the same.
//!
//! One generator makes a query as a tree (`generate`, `tree`), which prints in both dialects (`ours`, `sqlite`). What is
//! meant to differ stands in docs/query-language.md, "Differences from SQL"; there the text for SQLite says in its
//! words what ours means, so that ours is compared all the same.
#![cfg(feature = "rocksdb")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "differential/conditions.rs"]
mod conditions;
#[path = "differential/data.rs"]
mod data;
#[path = "differential/generate.rs"]
mod generate;
#[path = "differential/ours.rs"]
mod ours;
#[path = "differential/shrink.rs"]
mod shrink;
#[path = "differential/sqlite.rs"]
mod sqlite;
#[path = "differential/tree.rs"]
mod tree;

use data::Data;
use generate::{Generator, is_rough};
use ours::{Printed, Printer, Used};
use rusqlite::Connection;
use sedge_crdt::query::{Statement, Work};
use sedge_crdt::{Store, Value};
use sedge_identity::{AppId, DeviceKey};
use tree::{Column, Expr, Query};

/// Queries of a data set in every run, and in a long one.
const QUERIES: u64 = 2_000;
const QUERIES_FULL: u64 = 100_000;

/// Documents that most queries run over, and how many queries run over all.
const SAMPLE: usize = 200;
const WHOLE_ONE_IN: u64 = 50;

/// How far sums of floats may differ, relatively: the order of adding is not the same.
const ROUGH: f64 = 1e-9;

/// What of the language the queries have to use, each with every data set.
const FEATURES: &str = "SELECT|FROM|*|DISTINCT|WHERE|GROUP BY|HAVING|ORDER BY|ASC|DESC|LIMIT|OFFSET|AS|AND|OR|NOT|IS|NULL|\
MISSING|IN|NOT IN|BETWEEN|NOT BETWEEN|LIKE|NOT LIKE|ESCAPE|CASE|CASE with an operand|WHEN|THEN|ELSE|END|=|<>|<|<=|>|>=|+|-|*|/|%|\
-x|\\|\\||ABS|COALESCE|LENGTH|LOWER|ROUND|SUBSTR|SUBSTRING|TRIM|UPPER|COUNT|SUM|AVG|MIN|MAX|DISTINCT in an aggregate|:parameter|\
IN :parameter|a long IN|`name`";

/// Goal: queries over nested documents answer as SQLite does.
#[test]
fn airports_answer_as_in_sqlite() {
    agree(&Data::airports(), &[".name"]);
}

/// Goal: queries over numbers and dates answer as SQLite does.
#[test]
fn cars_answer_as_in_sqlite() {
    agree(&Data::cars(), &[]);
}

/// Goal: queries over messy documents answer as SQLite does: names with spaces, nulls, titles that are numbers.
#[test]
fn movies_answer_as_in_sqlite() {
    agree(&Data::movies(), &["\"name\""]);
}

/// Goal: where fields are missing, null or of any type, queries answer as SQLite does.
#[test]
fn odd_documents_answer_as_in_sqlite() {
    agree(
        &Data::odd(SAMPLE),
        &["[index]", "IN a list of the document", ".name"],
    );
}

fn agree(data: &Data, features: &[&str]) {
    let full = std::env::var("SEDGE_FULL").is_ok_and(|group| group == "store");
    let queries = if full { QUERIES_FULL } else { QUERIES };
    let (whole, sample) = (Bench::new(data), Bench::new(&data.sample(SAMPLE)));
    let (mut used, mut answered) = (Used::new(), 0);
    for seed in 0..queries {
        let bench = if seed % WHOLE_ONE_IN == 0 {
            &whole
        } else {
            &sample
        };
        let query = Generator::new(data, seed).query();
        let printed = Printer::new(&mut used, seed).query(&query, table(&query));
        match bench.compare(&query, &printed) {
            Ok(rows) => answered += u64::from(rows > 0),
            Err(_) => bench.fail(&query, seed),
        }
    }
    let all = FEATURES
        .replace("\\|\\|", "concat")
        .split('|')
        .map(|it| it.replace("concat", "||"))
        .collect::<Vec<_>>();
    let wanted = all
        .iter()
        .map(String::as_str)
        .chain(features.iter().copied());
    let unused: Vec<&str> = wanted.filter(|it| !used.contains_key(*it)).collect();
    assert!(unused.is_empty(), "no query has used {unused:?}");
    let share = answered as f64 / queries as f64;
    eprintln!(
        "{}: {queries} queries, {answered} with rows; {used:?}",
        data.name
    );
    assert!(share > 0.5, "only {answered} of {queries} queries had rows");
}

/// The letters that LOWER and UPPER know are more than SQLite's, so queries with these run over ASCII alone.
fn table(query: &Query) -> &'static str {
    match query.any(&|part| matches!(part, Expr::Call("LOWER" | "UPPER", _))) {
        true => "ascii",
        false => "docs",
    }
}

/// The same documents in a list, in a store and in SQLite.
struct Bench {
    documents: Vec<Value>,
    store: Store,
    sqlite: Connection,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new(data: &Data) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let device = DeviceKey::from_seed([1; 32]).public();
        let store = Store::open(folder.path(), &AppId::new("diff").unwrap(), &device).unwrap();
        let mut documents = data.documents.clone();
        let id = |document: &Value| document.get("_id").unwrap().as_str().unwrap().to_owned();
        documents.sort_by_key(id);
        let ascii = documents
            .iter()
            .filter(|document| document.to_string().is_ascii());
        store
            .import("ascii", &ascii.cloned().collect::<Vec<_>>())
            .unwrap();
        store.import("docs", &documents).unwrap();
        let sqlite = sqlite::open(&documents);
        Self {
            documents,
            store,
            sqlite,
            _folder: folder,
        }
    }

    /// How many rows there are, if they are the same everywhere.
    fn compare(&self, query: &Query, printed: &Printed) -> Result<usize, String> {
        let statement = Statement::parse(&printed.text).and_then(|it| it.bind(&printed.params));
        let Statement::Select(select) = statement.map_err(|error| error.to_string())? else {
            return Err("not a SELECT".to_owned());
        };
        let only_ascii = select.collection() == "ascii";
        let documents = self
            .documents
            .iter()
            .filter(|it| !only_ascii || it.to_string().is_ascii());
        let ours = select
            .rows(documents.cloned(), &Work::default())
            .map_err(|error| error.to_string())?;
        let stored = self
            .store
            .execute(&printed.text, &printed.params)
            .map_err(|error| error.to_string())?;
        if stored.items != ours {
            return Err(format!(
                "the store gives {:?}",
                first_difference(&stored.items, &ours)
            ));
        }
        let theirs = sqlite::rows(&self.sqlite, query, &sqlite::print(query, table(query)))?;
        let mut ours: Vec<Vec<Option<Value>>> =
            ours.iter().map(|row| cells(row, query, printed)).collect();
        let mut theirs = theirs;
        if query.grouped && query.distinct {
            ours.sort_by_key(|row| sorted_by(row));
            theirs.sort_by_key(|row| sorted_by(row));
        }
        // Of 1 and 1.0, which are equal, either may stand for a group.
        let of_many = query.grouped || query.distinct;
        let rough = |column: &Column| of_many || is_rough(&column.expr);
        let rough: Vec<bool> = query.columns.iter().map(rough).collect();
        let same = |(ours, theirs): (&Vec<Option<Value>>, &Vec<Option<Value>>)| {
            let cells = ours.iter().zip(theirs).enumerate();
            cells
                .into_iter()
                .all(|(index, (ours, theirs))| match rough.get(index) {
                    Some(true) => is_near(ours.as_ref(), theirs.as_ref()),
                    _ => ours == theirs,
                })
        };
        if ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same) {
            return Ok(ours.len());
        }
        let different = ours.iter().zip(&theirs).position(|pair| !same(pair));
        let at = different.unwrap_or(ours.len().min(theirs.len()));
        Err(format!(
            "{} rows here and {} there; the first that differs is row {at}:\nhere  {}\nthere {}",
            ours.len(),
            theirs.len(),
            shown(ours.get(at)),
            shown(theirs.get(at))
        ))
    }

    /// Tells of the smallest query that still differs.
    fn fail(&self, query: &Query, seed: u64) -> ! {
        let compared = |query: &Query| {
            let mut used = Used::new();
            let printed = Printer::new(&mut used, seed).query(query, table(query));
            (self.compare(query, &printed), printed)
        };
        // A query that was made smaller may be no query any more.
        let is_refused = |error: &str| error.starts_with("line ");
        let (first, _) = compared(query);
        let refused = first.is_err_and(|error| is_refused(&error));
        let smallest = shrink::shrink(query.clone(), &|smaller| {
            compared(smaller)
                .0
                .is_err_and(|error| is_refused(&error) == refused)
        });
        let (difference, printed) = compared(&smallest);
        panic!(
            "seed {seed}\nours   {} {:?}\nsqlite {}\n{}",
            printed.text,
            printed.params,
            sqlite::print(&smallest, table(&smallest)),
            difference.unwrap_err()
        );
    }
}

/// The columns of a row in order; the whole of it for `*`.
fn cells(row: &Value, query: &Query, printed: &Printed) -> Vec<Option<Value>> {
    if query.columns.is_empty() {
        return vec![Some(row.clone())];
    }
    printed
        .columns
        .iter()
        .map(|name| row.get(name).cloned())
        .collect()
}

/// The same for 1 and 1.0, and for both zeros.
fn sorted_by(row: &[Option<Value>]) -> String {
    let cell = |cell: &Option<Value>| match cell {
        Some(Value::Int(number)) => Some(Value::Float(*number as f64)),
        Some(Value::Float(number)) => Some(Value::Float(number + 0.0)),
        other => other.clone(),
    };
    format!("{:?}", row.iter().map(cell).collect::<Vec<_>>())
}

fn is_near(ours: Option<&Value>, theirs: Option<&Value>) -> bool {
    let number = |value: Option<&Value>| match value {
        Some(Value::Int(number)) => Some(*number as f64),
        Some(Value::Float(number)) => Some(*number),
        _ => None,
    };
    match (number(ours), number(theirs)) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() <= ROUGH * theirs.abs().max(1.0),
        _ => ours == theirs,
    }
}

fn first_difference<'a>(
    ours: &'a [Value],
    theirs: &'a [Value],
) -> (usize, usize, Option<(&'a Value, &'a Value)>) {
    let different = ours
        .iter()
        .zip(theirs)
        .find(|(ours, theirs)| ours != theirs);
    (ours.len(), theirs.len(), different)
}

fn shown(row: Option<&Vec<Option<Value>>>) -> String {
    let Some(row) = row else {
        return "no row".to_owned();
    };
    let cells = row
        .iter()
        .map(|cell| cell.as_ref().map_or("MISSING".to_owned(), Value::to_string));
    cells.collect::<Vec<_>>().join(" | ")
}
