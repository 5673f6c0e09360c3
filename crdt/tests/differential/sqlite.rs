//! The same query in SQLite's dialect, over a table `(id, doc)` of JSON, fully parenthesised. Where the two languages
//! differ by design, as docs/query-language.md lists, the text says what ours means.

use super::generate::is_constant;
use super::ours::quoted;
use super::tree::{Expr, Field, Kind, Members, Query, SortBy, Step};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use sedge_crdt::{Value, parse_json};

/// What an expression is wanted as: what is of another type is null there.
#[derive(Clone, Copy, PartialEq)]
enum View {
    Any,
    Number,
    Text,
}

/// A database with the documents in `docs`, and those in ASCII alone in `ascii`.
pub(crate) fn open(documents: &[Value]) -> Connection {
    let sqlite = Connection::open_in_memory().unwrap();
    sqlite
        .execute_batch(
            "PRAGMA case_sensitive_like = ON;
             CREATE TABLE docs (id TEXT PRIMARY KEY, doc BLOB NOT NULL) WITHOUT ROWID;
             CREATE TABLE ascii (id TEXT PRIMARY KEY, doc BLOB NOT NULL) WITHOUT ROWID;",
        )
        .unwrap();
    for document in documents {
        let (id, text) = (
            document.get("_id").and_then(Value::as_str),
            document.to_string(),
        );
        for table in if text.is_ascii() {
            &["docs", "ascii"][..]
        } else {
            &["docs"]
        } {
            let insert = format!("INSERT INTO {table} VALUES (?1, jsonb(?2))");
            sqlite
                .prepare_cached(&insert)
                .unwrap()
                .execute((id, &text))
                .unwrap();
        }
    }
    sqlite
}

/// The rows of a query; `None` is MISSING.
pub(crate) fn rows(
    sqlite: &Connection,
    query: &Query,
    text: &str,
) -> Result<Vec<Vec<Option<Value>>>, String> {
    let mut statement = sqlite
        .prepare_cached(text)
        .map_err(|error| error.to_string())?;
    let row = |row: &Row<'_>| {
        if query.columns.is_empty() {
            let document: String = row.get(0)?;
            return Ok(vec![parse_json(&document).ok()]);
        }
        let mut values = Vec::new();
        for (index, column) in query.columns.iter().enumerate() {
            let is_there: bool = row.get(2 * index + 1)?;
            let value = read(row.get_ref(2 * index)?, column.expr.kind());
            values.push(is_there.then_some(value));
        }
        Ok(values)
    };
    let rows = statement
        .query_map((), row)
        .map_err(|error| error.to_string())?;
    rows.collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

fn read(value: ValueRef<'_>, kind: Kind) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(truth) if kind == Kind::Bool => Value::Bool(truth != 0),
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).unwrap();
            match kind {
                Kind::List | Kind::Map => parse_json(text).unwrap(),
                _ => text.into(),
            }
        }
        ValueRef::Blob(_) => unreachable!("no column is binary"),
    }
}

pub(crate) fn print(query: &Query, table: &str) -> String {
    let condition = query.filter.as_ref();
    let filter = condition.map_or_else(String::new, |it| format!(" WHERE {}", any(it)));
    let limit = query.limit.map_or(-1, |limit| limit as i64);
    let bounds = format!(" LIMIT {limit} OFFSET {}", query.offset.unwrap_or(0));
    if query.columns.is_empty() {
        return format!(
            "SELECT json(doc) FROM {table}{filter} ORDER BY {}id{bounds}",
            order(query, false)
        );
    }
    let columns: Vec<String> = query
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let (value, is_there) = (any(&column.expr), is_there(&column.expr));
            format!("{value} AS v{index}, {is_there} AS t{index}")
        })
        .collect();
    let columns = columns.join(", ");
    if query.grouped {
        let keys = places(&query.keys);
        let by = if keys.is_empty() {
            String::new()
        } else {
            format!(" GROUP BY {keys}")
        };
        let having = query.having.as_ref();
        let having = having.map_or_else(String::new, |it| format!(" HAVING {}", any(it)));
        if query.distinct {
            return format!("SELECT DISTINCT {columns} FROM {table}{filter}{by}{having}");
        }
        let order = order(query, false) + &keys;
        let order = order.trim_end_matches(", ");
        let order = if order.is_empty() {
            String::new()
        } else {
            format!(" ORDER BY {order}")
        };
        return format!("SELECT {columns} FROM {table}{filter}{by}{having}{order}{bounds}");
    }
    if query.distinct {
        // Each row stands where it came first.
        let all: Vec<String> = (0..query.columns.len())
            .map(|index| format!("v{index}, t{index}"))
            .collect();
        let all = all.join(", ");
        return format!(
            "SELECT {all} FROM (SELECT {columns}, id FROM {table}{filter}) GROUP BY {all} ORDER BY {}min(id){bounds}",
            order(query, true)
        );
    }
    format!(
        "SELECT {columns} FROM {table}{filter} ORDER BY {}id{bounds}",
        order(query, false)
    )
}

/// The sort keys, each with a comma behind. MISSING comes before null.
fn order(query: &Query, by_column: bool) -> String {
    let mut text = String::new();
    for sort in &query.order {
        let direction = if sort.descending { " DESC" } else { "" };
        let expr = match &sort.by {
            SortBy::Column(index) if by_column => {
                text += &format!("t{index}{direction}, v{index}{direction}, ");
                continue;
            }
            SortBy::Column(index) => &query.columns[*index].expr,
            SortBy::Expr(expr) => expr,
        };
        for key in place(expr) {
            text += &format!("{key}{direction}, ");
        }
    }
    text
}

fn places(keys: &[Expr]) -> String {
    keys.iter().flat_map(place).collect::<Vec<_>>().join(", ")
}

/// What an expression is ordered or grouped by.
fn place(expr: &Expr) -> Vec<String> {
    if is_constant(expr) {
        return Vec::new(); // as it orders nothing, and a number would mean the column of that number
    }
    let is_there = is_there(expr);
    let constant = ["0", "1"].contains(&is_there.as_str());
    let is_there = (!constant).then_some(is_there);
    is_there.into_iter().chain([any(expr)]).collect()
}

/// Whether the expression is not MISSING.
fn is_there(expr: &Expr) -> String {
    match expr {
        Expr::Field(field) => format!("(json_type(doc, {}) IS NOT NULL)", path(field)),
        Expr::Case { .. } if expr.any(&|part| matches!(part, Expr::Field(_))) => {
            case(expr, &is_there, "1")
        }
        _ => "1".to_owned(),
    }
}

fn any(expr: &Expr) -> String {
    print_as(expr, View::Any)
}

fn number(expr: &Expr) -> String {
    print_as(expr, View::Number)
}

fn text(expr: &Expr) -> String {
    print_as(expr, View::Text)
}

/// As which the two sides of `<` and its kin are compared: values of different types have no order.
fn common(expr: &Expr, other: &Expr) -> View {
    let view = |expr: &Expr| match expr.kind() {
        Kind::Int | Kind::Number => View::Number,
        Kind::Text => View::Text,
        _ => View::Any,
    };
    match view(expr) {
        View::Any => view(other),
        view => view,
    }
}

fn print_as(expr: &Expr, view: View) -> String {
    match expr {
        Expr::Field(it) => field(it, view),
        Expr::Case { .. } => case(expr, &|part| print_as(part, view), "NULL"),
        expr => seen_as(printed(expr), expr.kind(), view),
    }
}

/// A text of some kind as what is wanted.
fn seen_as(text: String, kind: Kind, view: View) -> String {
    match (view, kind) {
        (View::Any, _) | (View::Number, Kind::Int | Kind::Number) | (View::Text, Kind::Text) => {
            text
        }
        (View::Number, Kind::Mixed) => {
            format!("(CASE WHEN typeof({text}) IN ('integer', 'real') THEN {text} END)")
        }
        (View::Text, Kind::Mixed) => format!("(CASE WHEN typeof({text}) = 'text' THEN {text} END)"),
        _ => "NULL".to_owned(),
    }
}

fn printed(expr: &Expr) -> String {
    match expr {
        Expr::Field(_) | Expr::Case { .. } => print_as(expr, View::Any),
        Expr::Literal(value) | Expr::Parameter(value) => literal(value),
        Expr::Negate(operand) => format!("(-{})", number(operand)),
        Expr::Arithmetic('/', left, right) => {
            let (a, b) = (number(left), number(right));
            format!(
                "(CASE WHEN {b} = 0 THEN NULL WHEN typeof({a}) = 'integer' AND typeof({b}) = 'integer' AND {a} % {b} = 0 \
                 THEN {a} / {b} ELSE CAST({a} AS REAL) / {b} END)"
            )
        }
        Expr::Arithmetic(operator, left, right) => {
            format!("({} {operator} {})", number(left), number(right))
        }
        Expr::Concat(left, right) => format!("({} || {})", any(left), any(right)),
        Expr::Compare(operator @ ("=" | "<>"), left, right) => {
            format!("({} {operator} {})", any(left), any(right))
        }
        Expr::Compare(operator, left, right) => ordered(operator, left, right),
        Expr::IsNull(operand, negated) => {
            let is = format!("({} AND {} IS NULL)", is_there(operand), any(operand));
            if *negated { format!("(NOT {is})") } else { is }
        }
        Expr::IsMissing(operand, negated) => match negated {
            // Not the number alone, which would name a column in ORDER BY.
            true => format!("({} AND TRUE)", is_there(operand)),
            false => format!("(NOT {})", is_there(operand)),
        },
        Expr::In {
            operand,
            members,
            negated,
        } => is_in(operand, members, if *negated { "NOT IN" } else { "IN" }),
        Expr::Between {
            operand,
            low,
            high,
            negated,
        } => {
            let not = if *negated { "NOT " } else { "" };
            match (common(low, operand), common(high, operand)) {
                (view, other) if view == other && view != View::Any => {
                    let (low, high) = (print_as(low, view), print_as(high, view));
                    format!(
                        "({} {not}BETWEEN {low} AND {high})",
                        print_as(operand, view)
                    )
                }
                _ => {
                    let (above, below) =
                        (ordered(">=", operand, low), ordered("<=", operand, high));
                    format!("({not}({above} AND {below}))")
                }
            }
        }
        Expr::Like {
            operand,
            pattern,
            escape,
            negated,
        } => {
            let not = if *negated { "NOT " } else { "" };
            let escape = escape.map_or_else(String::new, |it| format!(" ESCAPE '{it}'"));
            format!("({} {not}LIKE {}{escape})", text(operand), quoted(pattern))
        }
        Expr::And(parts) => joined(parts, " AND "),
        Expr::Or(parts) => joined(parts, " OR "),
        Expr::Not(operand) => format!("(NOT {})", any(operand)),
        Expr::Call(name, arguments) => call(name, arguments),
        Expr::Aggregate {
            name,
            distinct,
            argument,
        } => {
            let argument = match (argument.as_deref(), *name) {
                (None, _) => "*".to_owned(),
                (Some(argument), "SUM" | "AVG") => number(argument),
                (Some(argument), _) => any(argument),
            };
            format!(
                "{name}({}{argument})",
                if *distinct { "DISTINCT " } else { "" }
            )
        }
    }
}

/// `<` and its kin, unknown between a number and a text.
fn ordered(operator: &str, left: &Expr, right: &Expr) -> String {
    let view = common(left, right);
    let (left, right) = (print_as(left, view), print_as(right, view));
    match view {
        View::Any => format!(
            "(CASE WHEN (typeof({left}) = 'text') = (typeof({right}) = 'text') THEN {left} {operator} {right} END)"
        ),
        _ => format!("({left} {operator} {right})"),
    }
}

fn joined(parts: &[Expr], operator: &str) -> String {
    let parts: Vec<String> = parts.iter().map(any).collect();
    format!("({})", parts.join(operator))
}

/// A CASE whose branches and the lack of them are printed as said.
fn case(expr: &Expr, branch: &dyn Fn(&Expr) -> String, none: &str) -> String {
    let Expr::Case {
        operand,
        branches,
        otherwise,
    } = expr
    else {
        unreachable!("only of CASE");
    };
    let mut text = "(CASE".to_owned();
    if let Some(operand) = operand {
        text += &format!(" {}", any(operand));
    }
    for (when, then) in branches {
        text += &format!(" WHEN {} THEN {}", any(when), branch(then));
    }
    let otherwise = otherwise.as_deref();
    text + &format!(
        " ELSE {} END)",
        otherwise.map_or_else(|| none.to_owned(), branch)
    )
}

fn is_in(operand: &Expr, members: &Members, keyword: &str) -> String {
    let operand = any(operand);
    match members {
        Members::Written(members) => {
            let members: Vec<String> = members.iter().map(any).collect();
            format!("({operand} {keyword} ({}))", members.join(", "))
        }
        Members::Parameter(members) => {
            let members: Vec<String> = members.iter().map(literal).collect();
            format!("({operand} {keyword} ({}))", members.join(", "))
        }
        Members::Field(field) => {
            let path = path(field);
            format!(
                "(CASE WHEN json_type(doc, {path}) = 'array' \
                 THEN {operand} {keyword} (SELECT value FROM json_each(doc, {path})) END)"
            )
        }
    }
}

fn call(name: &str, arguments: &[Expr]) -> String {
    match (name, arguments) {
        ("ABS", [it]) => format!("abs({})", number(it)),
        ("ROUND", [it, digits @ ..]) => {
            // An int stays one.
            let (it, digits) = (
                number(it),
                digits.first().map_or_else(|| "0".to_owned(), any),
            );
            format!("(CASE WHEN typeof({it}) = 'integer' THEN {it} ELSE round({it}, {digits}) END)")
        }
        ("LENGTH", [Expr::Field(it)]) if it.kind == Kind::List => {
            let path = path(it);
            format!(
                "(CASE WHEN json_type(doc, {path}) = 'array' THEN json_array_length(doc, {path}) END)"
            )
        }
        ("SUBSTR", [it, bounds @ ..]) => {
            let bounds: Vec<String> = bounds.iter().map(any).collect();
            format!("substr({}, {})", text(it), bounds.join(", "))
        }
        ("COALESCE", arguments) => {
            let arguments: Vec<String> = arguments.iter().map(any).collect();
            format!("coalesce({}, NULL)", arguments.join(", "))
        }
        (name, [it]) => format!("{name}({})", text(it)),
        _ => unreachable!("{name} with these arguments is not generated"),
    }
}

fn field(field: &Field, view: View) -> String {
    let path = path(field);
    seen_as(format!("(doc ->> {path})"), field.kind, view)
}

fn path(field: &Field) -> String {
    let steps = field.path.iter().map(|step| match step {
        Step::Name(name) => format!(".\"{name}\""),
        Step::Index(index) => format!("[{index}]"),
    });
    format!("'${}'", steps.collect::<String>())
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Null => "NULL".to_owned(),
        Value::Bool(truth) => i32::from(*truth).to_string(),
        number => format!("({number})"),
    }
}
